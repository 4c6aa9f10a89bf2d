// DNS messages (RFC 1035), as far as a forwarder has to understand what it passes on.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace wrenn::net {

// The longest question that is taken.
inline constexpr size_t kMaxDnsQuestion = 4096;

// Whether it is a question as resolvers send them: a standard query of one name, not for a whole
// zone, whatever follows that. Everything else of a guest is not passed on.
bool IsDnsQuestion(std::string_view message);

// How long the whole messages are that `stream`, a connection's bytes, begins with (RFC 1035
// section 4.2.2: each has its length in front). kInvalidArgument as soon as one is no question, or
// will be none.
Result<size_t> WholeDnsQuestions(std::string_view stream);

// Whether `answer` is one to `question`, a message that IsDnsQuestion(): same id, same name and
// type.
bool IsDnsAnswer(std::string_view question, std::string_view answer);

// The id, by which a resolver's client tells answers apart; of messages of at least two bytes.
uint16_t DnsId(std::string_view message);
void SetDnsId(std::string& message, uint16_t id);

// The answer to a question that there is none: SERVFAIL.
std::string DnsFailure(std::string_view question);

}  // namespace wrenn::net
