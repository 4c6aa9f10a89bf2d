#include "api/api.h"

#include "api/api_fixture.h"
#include "api/errors.h"
#include "api/page.h"

namespace wrenn::api {
namespace {

using ApiTest = ApiFixture;

TEST_F(ApiTest, OpenRoutesNeedNoKey) {
  key_ = "";
  const Answer health = Call("GET", "/health");
  EXPECT_EQ(health.status, 200);
  EXPECT_EQ(health.Json().at("version"), "1.2.3");
  EXPECT_TRUE(Call("GET", "/openapi.yaml").body.starts_with("openapi: 3.1.0"));
  const Answer docs = Call("GET", "/docs");
  EXPECT_EQ(docs.status, 200);
  EXPECT_NE(docs.body.find("/v1/sandboxes/{id}/exec"), std::string::npos);
  EXPECT_TRUE(docs.fields.Get("content-security-policy").starts_with("default-src 'none'"));
}

// What stands between the first `begin` and the next `end`.
std::string Between(const std::string& text, std::string_view begin, std::string_view end) {
  const size_t from = text.find(begin);
  if (from == std::string::npos) return "no " + std::string(begin);
  const size_t start = from + begin.size();
  return text.substr(start, text.find(end, start) - start);
}

TEST_F(ApiTest, TheConsoleIsOneFileUnderAPolicyOfItsOwn) {
  key_ = "";
  const Answer page = Call("GET", "/test");
  EXPECT_EQ(page.status, 200);
  EXPECT_EQ(page.fields.Get("content-type"), "text/html; charset=utf-8");
  EXPECT_EQ(page.fields.Get("cache-control"), "no-store");
  EXPECT_EQ(page.fields.Get("referrer-policy"), "no-referrer");
  const std::string policy(page.fields.Get("content-security-policy"));
  EXPECT_TRUE(policy.starts_with("default-src 'none'; ")) << policy;
  EXPECT_EQ(policy.find("unsafe"), std::string::npos);
  EXPECT_EQ(policy.find("http"), std::string::npos);
  const std::string style = Between(page.body, "<style>", "</style>");
  const std::string script = Between(page.body, "<script>", "</script>");
  EXPECT_NE(style.find("prefers-color-scheme"), std::string::npos);
  EXPECT_NE(script.find("sessionStorage"), std::string::npos);
  EXPECT_NE(policy.find("style-src " + HashSource(style) + ";"), std::string::npos) << policy;
  EXPECT_NE(policy.find("script-src " + HashSource(script) + ";"), std::string::npos) << policy;
}

TEST(Page, HashesAreTheOnesOfTheStandard) {
  // The example of CSP level 3, section 8.3.
  EXPECT_EQ(HashSource("alert('Hello, world.');"),
            "'sha256-qznLcsROx4GACP2dm0UCKCzCG+HiZ1guq6ZZDob/Tng='");
}

TEST_F(ApiTest, KeysAreRequiredInEitherHeader) {
  wire::RequestHead head = Head("GET", "/v1/sandboxes");
  head.fields.Set("X-API-Key", MakeKey());
  EXPECT_EQ(Send(head, {}).status, 401);
  head.fields.Set("X-API-Key", "x");
  EXPECT_EQ(Send(head, {}).status, 401);
  wire::RequestHead bearer;
  bearer.method = "GET";
  bearer.target = "/v1/sandboxes";
  const Answer none = Send(bearer, {});
  EXPECT_EQ(none.status, 401);
  EXPECT_EQ(none.ErrorCode(), "unauthenticated");
  EXPECT_EQ(none.fields.Get("www-authenticate"), "Bearer");
  bearer.fields.Set("Authorization", "bearer " + key_);
  EXPECT_EQ(Send(bearer, {}).status, 200);
  bearer.fields.Set("Authorization", "Basic " + key_);
  EXPECT_EQ(Send(bearer, {}).status, 401);
}

TEST_F(ApiTest, E2bShapedKeysWorkAlike) {
  key_ = "e2b_" + RandomHex(40);
  ASSERT_TRUE(store_->AddKey(MakeKeyRecord(key_, "e2b")));
  EXPECT_EQ(Call("GET", "/v1/sandboxes").status, 200);
}

TEST_F(ApiTest, RevokedKeysStopWithinSeconds) {
  EXPECT_EQ(Call("GET", "/v1/sandboxes").status, 200);
  const auto keys = store_->ListKeys(store::kDefaultTenant);
  ASSERT_TRUE(keys);
  EXPECT_TRUE(keys->at(0).last_used_at);
  ASSERT_TRUE(store_->RemoveKey(keys->at(0).id));
  const Deadline limit = Deadline::After(std::chrono::seconds(10));
  while (Call("GET", "/v1/sandboxes").status == 200 && !limit.HasPassed()) {
  }
  EXPECT_EQ(Call("GET", "/v1/sandboxes").status, 401);
}

TEST_F(ApiTest, WithoutAKeyNoPathIsToldFromAnother) {
  key_ = "";
  EXPECT_EQ(Call("GET", "/v1/nothing").status, 401);
  EXPECT_EQ(Call("PATCH", "/v1/sandboxes").status, 401);
}

TEST_F(ApiTest, UnknownRoutesAndMethods) {
  EXPECT_EQ(Call("GET", "/v1/nothing").ErrorCode(), "not_found");
  const Answer answer = Call("PATCH", "/v1/sandboxes", "{}");
  EXPECT_EQ(answer.status, 405);
  EXPECT_EQ(answer.fields.Get("allow"), "POST, GET, HEAD");
  EXPECT_EQ(answer.ErrorCode(), "method_not_allowed");
}

TEST_F(ApiTest, WhatIsNoRequestIsRefusedInTheSameShape) {
  wire::RequestHead head = Head("GET", "/health");
  head.fields.Add("Content-Length", "nonsense");
  const Answer malformed = Send(head, {});
  EXPECT_EQ(malformed.status, 400);
  EXPECT_EQ(malformed.ErrorCode(), "invalid_argument") << malformed.body;
  EXPECT_EQ(malformed.fields.Get("content-type"), "application/json");
  head = Head("GET", "/health");
  head.fields.Add("X", std::string(wire::kMaxHeadBytes, 'x'));
  const Answer large = Send(head, {});
  EXPECT_EQ(large.status, 431);
  EXPECT_EQ(large.ErrorMessage(), "request head too large");
}

TEST_F(ApiTest, HeadIsAnsweredAsGetWithoutTheBody) {
  const Answer got = Call("GET", "/v1/sandboxes");
  const Answer head = Call("HEAD", "/v1/sandboxes");
  EXPECT_EQ(head.status, 200);
  EXPECT_EQ(head.body, "");
  EXPECT_EQ(head.fields.Get("content-length"), std::to_string(got.body.size()));
  EXPECT_EQ(Call("HEAD", "/v1/sandboxes/sb-nonesuch").status, 404);
  key_ = "";
  EXPECT_EQ(Call("HEAD", "/v1/sandboxes").status, 401);
}

TEST_F(ApiTest, SandboxesAreMadeListedAndRemoved) {
  const Answer made = Call("POST", "/v1/sandboxes",
                           R"({"vcpus":2,"memory_mb":256,"timeout_sec":60,"metadata":{"a":"b"},
                               "envs":{"SECRET":"x"}})");
  ASSERT_EQ(made.status, 201) << made.body;
  const json::value sandbox = made.Json();
  EXPECT_EQ(sandbox.at("status"), "running");
  EXPECT_EQ(sandbox.at("vcpus"), 2);
  EXPECT_EQ(sandbox.at("metadata").at("a"), "b");
  EXPECT_TRUE(sandbox.get_object().contains("expires_at"));
  EXPECT_EQ(made.body.find("SECRET"), std::string::npos);
  const std::string path = "/v1/sandboxes/" + std::string(sandbox.at("id").as_string());
  EXPECT_EQ(made.fields.Get("location"), path);
  EXPECT_EQ(Call("GET", path).Json().at("id"), sandbox.at("id"));
  EXPECT_EQ(Call("GET", path).Json().at("disk_used_bytes"), 4096);
  EXPECT_EQ(Call("GET", "/v1/sandboxes").Json().as_array().size(), 1u);
  EXPECT_EQ(Call("GET", "/v1/sandboxes").Json().at(0).at("disk_used_bytes"), 4096);
  EXPECT_EQ(Call("POST", path + "/ping", R"({"timeout_sec":9})").Json().at("timeout_sec"), 9);
  EXPECT_EQ(Call("GET", path + "/logs?limit=6").body, "a line");
  EXPECT_EQ(Call("GET", path + "/events").Json().at(0).at("kind"), "create");
  EXPECT_EQ(Call("POST", path + "/stop").Json().at("status"), "stopped");
  EXPECT_EQ(Call("POST", path + "/exec", R"({"cmd":"ls"})").status, 409);
  EXPECT_EQ(Call("DELETE", path).status, 204);
  EXPECT_EQ(Call("GET", path).status, 404);
  EXPECT_EQ(Call("DELETE", path).status, 404);
}

TEST_F(ApiTest, BadBodiesAreRefusedByName) {
  const auto message = [this](std::string_view body) {
    const Answer answer = Call("POST", "/v1/sandboxes", body);
    EXPECT_EQ(answer.status, 400) << body;
    EXPECT_EQ(answer.ErrorCode(), "invalid_argument") << body;
    return answer.ErrorMessage();
  };
  EXPECT_EQ(message(R"({"colour":"red"})"), "unknown field 'colour'");
  EXPECT_EQ(message(R"({"vcpus":"many"})"), "vcpus must be a whole number");
  EXPECT_EQ(message(R"({"vcpus":"2"})"), "vcpus must be a whole number");
  EXPECT_EQ(message(R"({"vcpus":-1})"), "vcpus must be between 1 and 256, not -1");
  EXPECT_EQ(message(R"({"timeout_sec":1.5})"), "timeout_sec must be a whole number");
  EXPECT_EQ(message(R"({"envs":{"a":1}})"), "envs must be a map of strings");
  for (const char* body : {"{", "[]", "null", "\"x\"", "\xff\xfe"}) message(body);
  message(std::string(100'000, '['));
  EXPECT_EQ(Call("GET", "/v1/sandboxes").Json().as_array().size(), 0u);
}

TEST_F(ApiTest, ErrorsOfTheManagerHaveTheirStatus) {
  EXPECT_EQ(Call("POST", "/v1/sandboxes", R"({"template":"nonesuch"})").status, 404);
  const Answer full = Call("POST", "/v1/sandboxes", R"({"memory_mb":1000000})");
  EXPECT_EQ(full.status, 429);
  EXPECT_EQ(full.ErrorCode(), "resource_exhausted");
  EXPECT_FALSE(full.fields.Get("retry-after").empty());
}

TEST_F(ApiTest, LargeBodiesAre413AndTheAnswerArrives) {
  const std::string body = R"({"template":")" + std::string(8 << 20, 'x') + "\"}";
  const Answer answer = Call("POST", "/v1/sandboxes", body);
  EXPECT_EQ(answer.status, 413);
  EXPECT_EQ(answer.ErrorCode(), "too_large");
}

TEST_F(ApiTest, IdsThatAreNoneTouchNothing) {
  for (const char* id : {"sb-00000000000000000000", "x", "..", "%2e%2e%2f", "sb-%00", "%ff"}) {
    const Answer answer = Call("GET", std::string("/v1/sandboxes/") + id);
    EXPECT_EQ(answer.status, 404) << id;
    EXPECT_EQ(answer.ErrorCode(), "not_found") << id;
  }
}

TEST_F(ApiTest, TemplatesAreListedByType) {
  store::TemplateRecord record;
  record.id = NewId("tp");
  record.name = "minimal";
  record.created_at = std::chrono::system_clock::now();
  ASSERT_TRUE(store_->PutTemplate(record, false));
  EXPECT_EQ(Call("GET", "/v1/templates").Json().at(0).at("name"), "minimal");
  EXPECT_EQ(Call("GET", "/v1/snapshots?type=base").Json().as_array().size(), 1u);
  EXPECT_EQ(Call("GET", "/v1/snapshots?type=snapshot").Json().as_array().size(), 0u);
  EXPECT_EQ(Call("GET", "/v1/snapshots?type=odd").status, 400);
  EXPECT_EQ(Call("DELETE", "/v1/snapshots/nonesuch").status, 404);
  EXPECT_EQ(Call("DELETE", "/v1/snapshots/..%2Fx").status, 404);
  EXPECT_EQ(Call("DELETE", "/v1/snapshots/minimal").status, 204);
}

TEST_F(ApiTest, WebSocketRoutesRefuseBeforeTheUpgrade) {
  const std::string path = MakeSandbox();
  EXPECT_EQ(Call("GET", path + "/exec/stream").status, 400);
  EXPECT_EQ(Call("GET", path + "/pty").status, 400);
  auto missing = Open("/v1/sandboxes/sb-00000000000000000000/pty");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, Code::kNotFound);
  Call("POST", path + "/stop");
  auto stopped = Open(path + "/exec/stream");
  ASSERT_FALSE(stopped);
  EXPECT_EQ(stopped.error().code, Code::kAborted);
  key_ = "";
  auto denied = Open(path + "/exec/stream");
  ASSERT_FALSE(denied);
  EXPECT_EQ(denied.error().code, Code::kUnauthenticated);
}

TEST_F(ApiTest, DrainRefusesNewRequests) {
  EXPECT_TRUE(api_->Drain(Soon()));
  const Answer answer = Call("GET", "/v1/sandboxes");
  EXPECT_EQ(answer.status, 503);
  EXPECT_EQ(answer.ErrorCode(), "unavailable");
}

TEST_F(ApiTest, PathsOfTheHostAreForTheLogAlone) {
  const std::string path = directory_->path() + "/sandboxes/sb-1/disk.qcow2";
  manager_.create_error = Error{Code::kInternal, "cannot make '" + path + "'", "no space"};
  EXPECT_EQ(Call("POST", "/v1/sandboxes", "{}").ErrorMessage(), "cannot make 'disk.qcow2'");
  server_->Stop();
  ASSERT_EQ(log_.size(), 1u);
  EXPECT_EQ(log_[0].error, "cannot make '" + path + "': no space");
}

TEST_F(ApiTest, RequestsAreLoggedWithoutSecrets) {
  Call("GET", "/v1/sandboxes?token=secret");
  server_->Stop();
  ASSERT_EQ(log_.size(), 1u);
  EXPECT_EQ(log_[0].path, "/v1/sandboxes");
  EXPECT_EQ(log_[0].status, 200);
  EXPECT_TRUE(log_[0].key_id.starts_with("ky-"));
}

TEST(Errors, EveryCodeHasAStatusAndSurvivesTheWay) {
  for (const Code code :
       {Code::kInvalidArgument, Code::kNotFound, Code::kAborted, Code::kResourceExhausted,
        Code::kUnavailable, Code::kInternal, Code::kUnauthenticated, Code::kPermissionDenied}) {
    const ErrorAnswer answer = AnswerFor({code, "what 'x'", "hidden"});
    const std::string body = FormatErrorBody(answer.code, answer.message);
    EXPECT_EQ(body.find("hidden"), std::string::npos);
    const Error back = ParseErrorBody(answer.status, body);
    EXPECT_EQ(back.code, code);
    EXPECT_EQ(back.message, "what 'x'");
  }
  EXPECT_EQ(AnswerFor({Code::kFailedPrecondition, "", ""}).status, 409);
  EXPECT_EQ(AnswerFor({Code::kOutOfRange, "", ""}).status, 413);
  EXPECT_EQ(ParseErrorBody(413, "no json").code, Code::kOutOfRange);
  EXPECT_EQ(ParseErrorBody(502, "").code, Code::kUnavailable);
}

TEST(Errors, MessagesAreUtf8WhateverTheyQuote) {
  EXPECT_TRUE(ParseJson(FormatErrorBody("internal", "bad \xff\"\n")));
}

TEST(Keys, HaveTheirShape) {
  EXPECT_TRUE(IsKey(MakeKey()));
  EXPECT_NE(MakeKey(), MakeKey());
  EXPECT_TRUE(IsKey("e2b_" + std::string(40, 'a')));
  for (const char* text :
       {"", "wrenn_", "e2b_ABC", "sk_0123456789012345678901234567890123456789"}) {
    EXPECT_FALSE(IsKey(text)) << text;
  }
  EXPECT_EQ(HashKey("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  const std::string key = MakeKey();
  const store::KeyRecord record = MakeKeyRecord(key, "n");
  EXPECT_EQ(record.hint, key.substr(0, 10));
}

}  // namespace
}  // namespace wrenn::api
