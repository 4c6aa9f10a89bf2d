#include "sandbox/network.h"

#include <gmock/gmock.h>

namespace wrenn::sandbox {
namespace {

using testing::HasSubstr;

Network Parse(std::string_view text) {
  const auto network = ParseNetwork(*ParseJsonObject(text), "network");
  EXPECT_TRUE(network) << network.error().message;
  return network.value_or(Network());
}

std::string Refusal(std::string_view text) {
  const auto network = ParseNetwork(*ParseJsonObject(text), "network");
  if (network) return "it was taken";
  EXPECT_EQ(network.error().code, Code::kInvalidArgument);
  return network.error().message;
}

constexpr const char* kAll =
    R"({"allow_internet_access":true,"allow_out":["1.1.1.1","2606:4700::/32"],
    "deny_out":["9.9.9.0/24"],"upload_kbps":1000,"download_kbps":2000,"max_connections":5})";

TEST(NetworkTest, ComesBackAsItWasFromRequestsAndRecords) {
  const Network all = Parse(kAll);
  EXPECT_EQ(ToJson(all), *ParseJsonObject(kAll));
  EXPECT_EQ(*NetworkOf(false, ToJson(all)), all);
  // Records of before there were policies.
  EXPECT_EQ(NetworkOf(true, {})->allow_internet_access, true);
  EXPECT_EQ(NetworkOf(false, {})->allow_internet_access, false);
  // A machine has a network for a list, too.
  EXPECT_EQ(NetworkOf(true, {{"allow_out", json::array{"1.1.1.1"}}})->allow_internet_access, false);
  EXPECT_EQ(ToJson(Parse("{}")), json::object());
}

TEST(NetworkTest, IsAPolicyOfASlot) {
  const auto policy = PolicyOf(Parse(kAll));
  ASSERT_TRUE(policy);
  EXPECT_TRUE(policy->internet);
  EXPECT_EQ(policy->allow.size(), 2U);
  EXPECT_EQ(policy->deny.size(), 1U);
  EXPECT_EQ(policy->upload, 1'000'000U);
  EXPECT_EQ(policy->download, 2'000'000U);
  EXPECT_EQ(policy->connections, 5U);

  const auto none = PolicyOf({});
  EXPECT_FALSE(none->internet);
  EXPECT_EQ(none->upload + none->download, 0U);
  EXPECT_EQ(none->connections, net::NetworkPolicy().connections);
  EXPECT_EQ(PolicyOf(Parse(R"({"max_connections":0})"))->connections, 0U);
}

TEST(NetworkTest, SaysWhatIsWrongWithIt) {
  const std::pair<const char*, const char*> cases[] = {
      {R"({"allow_internet_access":"yes"})", "network.allow_internet_access must be true or false"},
      {R"({"allow_out":"1.1.1.1"})", "network.allow_out must be a list"},
      {R"({"deny_out":[1]})", "network.deny_out must be a list of strings"},
      {R"({"upload_kbps":-1})", "network.upload_kbps must be between 0 and 1000000000, not -1"},
      {R"({"download_kbps":1.5})", "network.download_kbps must be a whole number"},
      {R"({"download_kbps":"5"})", "network.download_kbps must be a whole number"},
      {R"({"max_connections":-5})", "network.max_connections must be between 0 and"},
      {R"({"rules":{}})", "unknown field 'network.rules'"},
      {R"({"deny_out":["1.2.3.4/33"]})", "network.deny_out: '1.2.3.4/33' is neither"},
      {R"({"deny_out":["1.2.3.4/24"]})", "write 1.2.3.0/24 for the network"},
      {R"({"allow_out":["example.com"]})", "network.allow_out: 'example.com' is neither"},
      {R"({"allow_out":["10.1.0.0/16"]})", "network.allow_out: '10.1.0.0/16' cannot be allowed"},
      {R"({"allow_out":["169.254.169.254"]})", "cannot be allowed"},
      {R"({"allow_out":["fd00:ec2::254"]})", "cannot be allowed"},
  };
  for (const auto& [text, why] : cases) EXPECT_THAT(Refusal(text), HasSubstr(why)) << text;
  json::array many(net::kMaxListEntries + 1, json::value("1.1.1.1"));
  EXPECT_EQ(Refusal(json::serialize(json::object{{"deny_out", many}})),
            "network.deny_out: a list of 1001 networks is too long, 1000 is the most");
}

TEST(NetworkTest, AChangeLeavesWhatItDoesNotName) {
  const Network all = Parse(kAll);
  EXPECT_EQ(Merge(all, {}), all);
  const Network merged = Merge(all, Parse(R"({"allow_out":[],"upload_kbps":0})"));
  EXPECT_EQ(ToJson(merged), *ParseJsonObject(R"({"allow_internet_access":true,"allow_out":[],
      "deny_out":["9.9.9.0/24"],"upload_kbps":0,"download_kbps":2000,"max_connections":5})"));
}

TEST(NetworkTest, IsOffWhenNothingIsReached) {
  EXPECT_TRUE(Parse(R"({"deny_out":["1.1.1.1"],"allow_out":[],"upload_kbps":5})").IsOff());
  EXPECT_FALSE(Parse(R"({"allow_out":["1.1.1.1"]})").IsOff());
  EXPECT_FALSE(Parse(R"({"allow_internet_access":true})").IsOff());
}

TEST(NetworkTest, OnlyOnOrOffDoesWithoutASlot) {
  for (const char* text : {"{}", R"({"allow_internet_access":true})",
                           R"({"allow_out":[],"upload_kbps":0,"max_connections":0})"}) {
    EXPECT_FALSE(Parse(text).NeedsSlot()) << text;
  }
  for (const char* text :
       {R"({"allow_out":["1.1.1.1"]})", R"({"deny_out":["1.1.1.1"]})", R"({"upload_kbps":1})",
        R"({"download_kbps":1})", R"({"max_connections":1})"}) {
    EXPECT_TRUE(Parse(text).NeedsSlot()) << text;
  }
}

}  // namespace
}  // namespace wrenn::sandbox
