#include "vmm/firecracker/api_answer.h"

#include <gtest/gtest.h>

namespace wrenn::vmm {
namespace {

TEST(ApiAnswerTest, ARefusalHasFirecrackersWords) {
  const Error error = RefusalOf(PutEntropy(), 400, R"({"fault_message":"Too bad.\n\tReally."})");
  EXPECT_EQ(error.code, Code::kFailedPrecondition);
  EXPECT_EQ(error.message, "Firecracker refused PUT /entropy: Too bad.  Really");
  EXPECT_EQ(RefusalOf(PutEntropy(), 500, "").message,
            "Firecracker refused PUT /entropy: status 500 and no reason");
  EXPECT_EQ(RefusalOf(PutEntropy(), 500, R"({"fault_message":"x"})").code, Code::kInternal);
  for (const char* body : {"{", "[]", R"({"fault_message":7})", R"({"fault_message":""})"}) {
    EXPECT_EQ(RefusalOf(PutEntropy(), 400, body).message,
              "Firecracker refused PUT /entropy: status 400 and no reason");
  }
}

TEST(ApiAnswerTest, ALongRefusalIsCutBetweenCharacters) {
  std::string words = "x";
  for (int i = 0; i < 1000; ++i) words += "\u00e4";
  const std::string message =
      RefusalOf(PutEntropy(), 400, "{\"fault_message\":\"" + words + "\"}").message;
  EXPECT_TRUE(message.ends_with("\u00e4"));
  EXPECT_LT(message.size(), 1100u);
}

TEST(ApiAnswerTest, AVersionIsWhatItShouldBe) {
  EXPECT_EQ(ParseVersionAnswer(R"({"firecracker_version":"1.12.1"})").value(),
            (FirecrackerVersion{1, 12, 1}));
  for (const char* body :
       {"", "{}", "[]", R"({"firecracker_version":1})", R"({"firecracker_version":"new"})"}) {
    EXPECT_FALSE(ParseVersionAnswer(body)) << body;
  }
}

}  // namespace
}  // namespace wrenn::vmm
