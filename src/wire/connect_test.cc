#include "wire/connect.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

namespace wrenn::wire {
namespace {

// A body of these bytes, ended by the end of the stream.
class BodyOf {
 public:
  explicit BodyOf(std::string_view bytes) {
    auto pair = SocketPair();
    EXPECT_TRUE(pair);
    EXPECT_TRUE(WriteAll(pair->first.get(), bytes, Deadline::After(std::chrono::seconds(5))));
    pair->first.Reset();
    stream_ = ByteStream(std::move(pair->second));
    body_ = BodyReader(stream_, {BodyLength::Kind::kUntilClose, 0});
  }
  Result<std::optional<Envelope>> Next() {
    return ReadEnvelope(body_, Deadline::After(std::chrono::seconds(5)));
  }

 private:
  ByteStream stream_;
  BodyReader body_;
};

TEST(Connect, EnvelopesFollowEachOther) {
  BodyOf body(FormatEnvelope(0, R"({"a":1})") + FormatEnvelope(0, "") +
              FormatEndOfStream(std::nullopt));
  auto first = body.Next();
  ASSERT_TRUE(first && *first);
  EXPECT_EQ((*first)->message, R"({"a":1})");
  EXPECT_FALSE((*first)->is_end());
  auto second = body.Next();
  ASSERT_TRUE(second && *second);
  EXPECT_EQ((*second)->message, "");
  auto end = body.Next();
  ASSERT_TRUE(end && *end);
  EXPECT_TRUE((*end)->is_end());
  EXPECT_EQ((*end)->message, "{}");
  auto nothing = body.Next();
  ASSERT_TRUE(nothing);
  EXPECT_FALSE(*nothing);
}

TEST(Connect, EnvelopeLengthIsBigEndian) {
  EXPECT_EQ(FormatEnvelope(2, std::string(258, 'x')).substr(0, 5), std::string("\2\0\0\1\2", 5));
}

TEST(Connect, AnEnvelopeCutShortIsUnavailable) {
  const std::string whole = FormatEnvelope(0, "hello");
  for (size_t length = 1; length < whole.size(); ++length) {
    auto got = BodyOf(std::string_view(whole).substr(0, length)).Next();
    ASSERT_FALSE(got) << length;
    EXPECT_EQ(got.error().code, Code::kUnavailable);
  }
}

TEST(Connect, HugeAndCompressedEnvelopesAreRefused) {
  EXPECT_EQ(BodyOf(std::string_view("\0\xFF\xFF\xFF\xFF", 5)).Next().error().code,
            Code::kInvalidArgument);
  EXPECT_EQ(BodyOf(FormatEnvelope(kEnvelopeCompressed, "x")).Next().error().code,
            Code::kInvalidArgument);
}

TEST(Connect, TheEndCarriesTheError) {
  const std::string end = FormatEndOfStream(Error{Code::kNotFound, "no \"x\"", "secret detail"});
  EXPECT_EQ(end.substr(5), R"({"error":{"code":"not_found","message":"no \"x\""}})");
  auto error = ParseEndOfStream(end.substr(5));
  ASSERT_TRUE(error && *error);
  EXPECT_EQ((*error)->code, Code::kNotFound);
  EXPECT_EQ((*error)->message, "no \"x\"");
  EXPECT_FALSE(ParseEndOfStream("[]"));
  EXPECT_FALSE(ParseEndOfStream(R"({"error":5})"));
  auto none = ParseEndOfStream("{}");
  ASSERT_TRUE(none);
  EXPECT_FALSE(*none);
}

TEST(Connect, UnaryErrorsSpeakByBodyOrStatus) {
  EXPECT_EQ(FormatUnaryError({Code::kAlreadyExists, "m", {}}),
            R"({"code":"already_exists","message":"m"})");
  EXPECT_EQ(ParseUnaryError(409, R"({"code":"already_exists","message":"m"})").code,
            Code::kAlreadyExists);
  const Error plain = ParseUnaryError(404, R"({"code":404,"message":"path 'x' does not exist"})");
  EXPECT_EQ(plain.code, Code::kNotFound);
  EXPECT_EQ(plain.message, "path 'x' does not exist");
  EXPECT_EQ(ParseUnaryError(502, "<html>").code, Code::kUnavailable);
  EXPECT_EQ(ParseUnaryError(507, "").code, Code::kResourceExhausted);
}

}  // namespace
}  // namespace wrenn::wire
