#include "net/dns_message.h"

#include <algorithm>
#include <cctype>

namespace wrenn::net {
namespace {

constexpr size_t kHeader = 12;
constexpr size_t kTypeAndClass = 4;

uint8_t Byte(std::string_view message, size_t at) { return static_cast<uint8_t>(message[at]); }

unsigned Number(std::string_view message, size_t at) {
  return Byte(message, at) * 256U + Byte(message, at + 1);
}

bool IsResponse(std::string_view message) { return (Byte(message, 2) & 0x80) != 0; }
unsigned Opcode(std::string_view message) { return Byte(message, 2) >> 3 & 15; }
unsigned QuestionCount(std::string_view message) { return Number(message, 4); }

// The first question: name, type and class. Empty when it is not whole, or its name is too long or
// compressed, which nothing in front of it could be pointed to for.
std::string_view Question(std::string_view message) {
  constexpr size_t kMaxName = 255, kMaxLabel = 63;
  size_t at = kHeader;
  for (;;) {
    if (at >= message.size() || at - kHeader >= kMaxName) return {};
    const uint8_t label = Byte(message, at);
    if (label > kMaxLabel) return {};
    at += 1U + label;
    if (label == 0) break;
  }
  at += kTypeAndClass;
  if (at > message.size()) return {};
  return message.substr(kHeader, at - kHeader);
}

// Of two that are not empty. Names are the same in either case.
bool IsSameQuestion(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  const size_t name = a.size() - kTypeAndClass;
  const auto lower = [](char c) { return std::tolower(static_cast<unsigned char>(c)); };
  return std::ranges::equal(a.substr(0, name), b.substr(0, name), {}, lower, lower) &&
         a.substr(name) == b.substr(name);
}

// Transfers of zones (AXFR, IXFR): what a name server in the host's network may give to the host.
bool IsTransfer(std::string_view question) {
  const unsigned type = Number(question, question.size() - kTypeAndClass);
  return type == 251 || type == 252;
}

}  // namespace

bool IsDnsQuestion(std::string_view message) {
  if (message.size() < kHeader || message.size() > kMaxDnsQuestion) return false;
  const std::string_view question = Question(message);
  return !IsResponse(message) && Opcode(message) == 0 && QuestionCount(message) == 1 &&
         !question.empty() && !IsTransfer(question);
}

Result<size_t> WholeDnsQuestions(std::string_view stream) {
  constexpr size_t kLength = 2;
  size_t whole = 0;
  while (stream.size() - whole >= kLength) {
    const size_t length = Number(stream, whole);
    const std::string_view message = stream.substr(whole + kLength, length);
    const bool is_whole = message.size() == length;
    if (length > kMaxDnsQuestion || (is_whole && !IsDnsQuestion(message))) {
      return Fail(Code::kInvalidArgument, "not a DNS question");
    }
    if (!is_whole) break;
    whole += kLength + length;
  }
  return whole;
}

bool IsDnsAnswer(std::string_view question, std::string_view answer) {
  if (answer.size() < kHeader || !IsResponse(answer) || DnsId(answer) != DnsId(question)) {
    return false;
  }
  // A resolver that cannot make anything of a message may leave the question out.
  if (QuestionCount(answer) == 0) return true;
  const std::string_view asked = Question(answer);
  return QuestionCount(answer) == 1 && !asked.empty() && IsSameQuestion(asked, Question(question));
}

uint16_t DnsId(std::string_view message) { return static_cast<uint16_t>(Number(message, 0)); }

void SetDnsId(std::string& message, uint16_t id) {
  message[0] = static_cast<char>(id >> 8);
  message[1] = static_cast<char>(id & 0xff);
}

std::string DnsFailure(std::string_view question) {
  std::string answer(question.substr(0, kHeader));
  constexpr int kResponse = 0x80, kServerFailure = 2, kKept = 0x01;  // whether recursion is wanted
  answer[2] = static_cast<char>(kResponse | (Byte(question, 2) & kKept));
  answer[3] = kServerFailure;
  // No records of any kind.
  std::fill(answer.begin() + 6, answer.end(), '\0');
  return answer.append(Question(question));
}

}  // namespace wrenn::net
