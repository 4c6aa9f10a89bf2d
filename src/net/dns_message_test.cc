#include "net/dns_message.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "net/resolvers.h"

namespace wrenn::net {
namespace {

// "a.example", type A, class IN, with the id 0x1234.
const std::string kQuestion(
    "\x12\x34\x01\x00\0\x01\0\0\0\0\0\0\x01"
    "a\x07"
    "example\0\0\x01\0\x01",
    27);

std::string AnswerTo(std::string question) {
  question[2] = '\x81';
  return question;
}

TEST(DnsMessageTest, TakesQuestionsOnly) {
  EXPECT_TRUE(IsDnsQuestion(kQuestion));
  EXPECT_TRUE(IsDnsQuestion(kQuestion + std::string(11, '\0')));  // EDNS and the like behind it
  for (size_t length = 0; length < kQuestion.size(); ++length) {
    EXPECT_FALSE(IsDnsQuestion(kQuestion.substr(0, length))) << length;
  }
  const auto changed = [](size_t at, char byte) {
    std::string message = kQuestion;
    message[at] = byte;
    return IsDnsQuestion(message);
  };
  EXPECT_FALSE(changed(2, '\x81'));   // an answer
  EXPECT_FALSE(changed(2, '\x28'));   // an update
  EXPECT_FALSE(changed(5, '\x02'));   // two questions
  EXPECT_FALSE(changed(5, '\0'));     // none
  EXPECT_FALSE(changed(12, '\xc0'));  // compressed
  EXPECT_FALSE(changed(12, '\x40'));
  EXPECT_TRUE(changed(24, '\xff'));   // type ANY
  EXPECT_FALSE(changed(24, '\xfc'));  // a whole zone
  EXPECT_FALSE(changed(24, '\xfb'));
  EXPECT_FALSE(IsDnsQuestion(kQuestion + std::string(kMaxDnsQuestion, '\0')));
  std::string long_name = kQuestion.substr(0, 12);
  for (int i = 0; i < 130; ++i) long_name += "\x01x";
  EXPECT_FALSE(IsDnsQuestion(long_name + std::string("\0\0\x01\0\x01", 5)));
}

TEST(DnsMessageTest, AConnectionHoldsQuestionsOneBehindTheOther) {
  const std::string one = std::string("\0\x1b", 2) + kQuestion;
  for (size_t length = 0; length < one.size(); ++length) {
    EXPECT_EQ(*WholeDnsQuestions(one.substr(0, length)), 0U) << length;
    EXPECT_EQ(*WholeDnsQuestions(one + one.substr(0, length)), one.size()) << length;
  }
  EXPECT_EQ(*WholeDnsQuestions(one + one), 2 * one.size());
  EXPECT_FALSE(WholeDnsQuestions(one + std::string("\0\0", 2)));
  EXPECT_FALSE(WholeDnsQuestions(one + std::string("\0\x1b", 2) + AnswerTo(kQuestion)));
  EXPECT_FALSE(WholeDnsQuestions("\xff\xff"));  // longer than any question
}

TEST(DnsMessageTest, AnAnswerIsToTheQuestion) {
  const std::string answer = AnswerTo(kQuestion);
  EXPECT_TRUE(IsDnsAnswer(kQuestion, answer));
  EXPECT_FALSE(IsDnsAnswer(kQuestion, kQuestion));
  std::string other = answer;
  other[14] = 'b';
  std::string upper = answer;
  upper[13] = 'A';
  EXPECT_TRUE(IsDnsAnswer(kQuestion, upper));
  upper[13] = 'b';
  EXPECT_FALSE(IsDnsAnswer(kQuestion, upper));
  std::string type = answer;
  type[24] = 'A';
  EXPECT_FALSE(IsDnsAnswer(kQuestion, type));
  std::string lower = kQuestion, same_in_lower_case = answer;
  lower[24] = 'a';
  same_in_lower_case[24] = 'A';
  EXPECT_FALSE(IsDnsAnswer(lower, same_in_lower_case));  // types have no case
  std::string id = answer;
  SetDnsId(id, 0x1235);
  EXPECT_EQ(DnsId(id), 0x1235);
  EXPECT_FALSE(IsDnsAnswer(kQuestion, id));
  for (size_t length = 0; length < answer.size(); ++length) {
    EXPECT_FALSE(IsDnsAnswer(kQuestion, answer.substr(0, length))) << length;
  }
  EXPECT_TRUE(IsDnsAnswer(kQuestion, DnsFailure(kQuestion + "more")));
  EXPECT_EQ(DnsFailure(kQuestion).substr(2, 2), std::string("\x81\x02"));
}

TEST(ResolversTest, AreThoseOfTheFile) {
  const auto texts = [](std::string_view text) {
    std::vector<std::string> all;
    for (const auto& address : ParseResolvers(text)) all.push_back(address.ToString());
    return all;
  };
  using testing::ElementsAre;
  EXPECT_THAT(texts(""), ElementsAre("127.0.0.1"));
  EXPECT_THAT(texts("# nameserver 9.9.9.9\nsearch x\nnameserver 127.0.0.53\noptions edns0\n"),
              ElementsAre("127.0.0.53"));
  EXPECT_THAT(texts("nameserver\t2001:4860::8888  # x\r\n nameserver fe80::1%eth0\nnameserver x\n"
                    "nameservers 1.1.1.1\nnameserver 1.1.1.1"),
              ElementsAre("2001:4860::8888", "1.1.1.1"));
  EXPECT_THAT(
      texts("nameserver 1.0.0.1\nnameserver 1.0.0.2\nnameserver 1.0.0.3\nnameserver 1.0.0.4"),
      ElementsAre("1.0.0.1", "1.0.0.2", "1.0.0.3"));
}

}  // namespace
}  // namespace wrenn::net
