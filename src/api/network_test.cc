// What a sandbox may reach, over HTTP.
#include <gmock/gmock.h>

#include "api/api_fixture.h"

namespace wrenn::api {
namespace {

using NetworkTest = ApiFixture;
using testing::HasSubstr;

constexpr const char* kAll = R"({"allow_internet_access":true,"allow_out":["1.1.1.1"],
    "deny_out":["9.9.9.0/24"],"upload_kbps":1000,"download_kbps":2000,"max_connections":5})";

TEST_F(NetworkTest, IsGivenShownAndChanged) {
  const Answer made = Call("POST", "/v1/sandboxes", fmt::format(R"({{"network":{}}})", kAll));
  ASSERT_EQ(made.status, 201) << made.body;
  EXPECT_EQ(made.Json().at("network"), *ParseJson(kAll));
  EXPECT_EQ(made.Json().at("egress"), true);
  const std::string path = "/v1/sandboxes/" + std::string(made.Json().at("id").as_string());
  const Answer changed =
      Call("PATCH", path + "/network",
           R"({"allow_internet_access":false,"deny_out":[],"upload_kbps":null})");
  ASSERT_EQ(changed.status, 200) << changed.body;
  EXPECT_EQ(changed.Json().at("egress"), false);
  EXPECT_EQ(changed.Json().at("network"),
            *ParseJson(R"({"allow_internet_access":false,"allow_out":["1.1.1.1"],"deny_out":[],
                "upload_kbps":1000,"download_kbps":2000,"max_connections":5})"));
  EXPECT_EQ(Call("GET", path).Json().at("network"), changed.Json().at("network"));
  EXPECT_EQ(Call("PATCH", "/v1/sandboxes/sb-00000000000000000000/network", "{}").status, 404);
  EXPECT_EQ(Call("PUT", path + "/network", "{}").status, 405);
}

TEST_F(NetworkTest, EgressIsTheSameAsAllowInternetAccess) {
  for (const char* body : {R"({"egress":true})", R"({"network":{"allow_internet_access":true}})",
                           R"({"egress":true,"network":{"allow_internet_access":true}})"}) {
    const json::value made = Call("POST", "/v1/sandboxes", body).Json();
    EXPECT_EQ(made.at("egress"), true) << body;
    EXPECT_EQ(made.at("network"),
              *ParseJson(R"({"allow_internet_access":true,"allow_out":[],"deny_out":[]})"))
        << body;
  }
  const Answer both =
      Call("POST", "/v1/sandboxes", R"({"egress":true,"network":{"allow_internet_access":false}})");
  EXPECT_EQ(both.status, 400);
  EXPECT_THAT(both.body, HasSubstr("contradict each other"));
  EXPECT_EQ(Call("POST", "/v1/sandboxes", "{}").Json().at("egress"), false);
}

TEST_F(NetworkTest, WhatIsWrongIsSaidAndChangesNothing) {
  const std::string path = MakeSandbox();
  const std::pair<const char*, const char*> cases[] = {
      {R"({"allow_out":["10.0.0.0/8"]})", "allow_out: '10.0.0.0/8' cannot be allowed"},
      {R"({"deny_out":["example.com"],"upload_kbps":5})", "deny_out: 'example.com' is neither"},
      {R"({"upload_kbps":-1})", "upload_kbps must be between 0 and"},
      {R"({"egress":true})", "unknown field 'egress'"},
      {R"([])", "expected an object"},
  };
  for (const auto& [body, why] : cases) {
    const Answer answer = Call("PATCH", path + "/network", body);
    EXPECT_EQ(answer.status, 400) << body;
    EXPECT_THAT(answer.body, HasSubstr(why));
  }
  EXPECT_EQ(Call("GET", path).Json().at("network"),
            *ParseJson(R"({"allow_internet_access":false,"allow_out":[],"deny_out":[]})"));
  const Answer made = Call("POST", "/v1/sandboxes", R"({"network":{"allow_out":"1.1.1.1"}})");
  EXPECT_EQ(made.status, 400);
  EXPECT_THAT(made.body, HasSubstr("network.allow_out must be a list"));
  EXPECT_EQ(Call("POST", "/v1/sandboxes", R"({"network":true})").status, 400);
  EXPECT_EQ(Call("GET", "/v1/sandboxes").Json().as_array().size(), 1U);
}

}  // namespace
}  // namespace wrenn::api
