// Pause, resume, fork and snapshots over HTTP.
#include "api/api_fixture.h"

namespace wrenn::api {
namespace {

using SnapshotsTest = ApiFixture;

TEST_F(SnapshotsTest, ASandboxIsPausedAndResumed) {
  const std::string path = MakeSandbox();
  const Answer paused = Call("POST", path + "/pause");
  ASSERT_EQ(paused.status, 200) << paused.body;
  EXPECT_EQ(paused.Json().at("status"), "paused");
  EXPECT_EQ(paused.Json().at("reason"), "paused on request");
  EXPECT_FALSE(paused.Json().get_object().contains("expires_at"));
  EXPECT_EQ(Call("POST", path + "/pause").status, 409);
  EXPECT_EQ(Call("POST", path + "/exec", R"({"cmd":"ls"})").status, 409);
  const Answer resumed = Call("POST", path + "/resume");
  EXPECT_EQ(resumed.status, 200);
  EXPECT_EQ(resumed.Json().at("status"), "running");
  const Answer again = Call("POST", path + "/resume");
  EXPECT_EQ(again.status, 409);
  EXPECT_EQ(again.ErrorCode(), "aborted");
  ASSERT_EQ(Call("POST", path + "/pause").status, 200);
  EXPECT_EQ(Call("POST", path + "/resume", R"({"cold":1})").status, 400);
  EXPECT_EQ(Call("POST", path + "/resume", R"({"cold":true})").Json().at("origin"), "boot");
  EXPECT_EQ(Call("POST", "/v1/sandboxes", R"({"cold":true})").Json().at("origin"), "boot");
}

TEST_F(SnapshotsTest, WhatIsNotThereIs404) {
  for (const char* route : {"/pause", "/resume", "/fork"}) {
    EXPECT_EQ(Call("POST", std::string("/v1/sandboxes/sb-00000000000000000000") + route).status,
              404)
        << route;
  }
  EXPECT_EQ(Call("POST", "/v1/snapshots", R"({"sandbox_id":"sb-00000000000000000000"})").status,
            404);
}

TEST_F(SnapshotsTest, ASandboxIsForked) {
  const std::string path = MakeSandbox();
  const Answer one = Call("POST", path + "/fork");
  ASSERT_EQ(one.status, 201) << one.body;
  EXPECT_EQ(one.Json().at("sandboxes").as_array().size(), 1u);
  const Answer three = Call("POST", path + "/fork", R"({"count":3})");
  const json::array children = three.Json().at("sandboxes").as_array();
  ASSERT_EQ(children.size(), 3u);
  EXPECT_NE(children[0].at("id"), children[1].at("id"));
  EXPECT_EQ(std::string(children[0].at("origin").as_string()),
            "fork of " + path.substr(path.rfind('/') + 1));
  EXPECT_EQ(Call("GET", "/v1/sandboxes").Json().as_array().size(), 5u);
}

TEST_F(SnapshotsTest, CountsThatAreNoneAreRefused) {
  const std::string path = MakeSandbox();
  for (const char* body : {R"({"count":0})", R"({"count":101})", R"({"count":"2"})",
                           R"({"count":1.5})", R"({"number":2})"}) {
    EXPECT_EQ(Call("POST", path + "/fork", body).status, 400) << body;
  }
  EXPECT_EQ(Call("GET", "/v1/sandboxes").Json().as_array().size(), 1u);
}

TEST_F(SnapshotsTest, ASnapshotIsMadeUnderANameThatIsFree) {
  const std::string path = MakeSandbox();
  const std::string id = path.substr(path.rfind('/') + 1);
  const std::string body = R"({"sandbox_id":")" + id + R"(","name":"mine"})";
  const Answer made = Call("POST", "/v1/snapshots", body);
  ASSERT_EQ(made.status, 201) << made.body;
  EXPECT_EQ(made.Json().at("name"), "mine");
  EXPECT_EQ(made.Json().at("type"), "snapshot");
  EXPECT_EQ(made.fields.Get("location"), "/v1/snapshots/mine");
  const Answer taken = Call("POST", "/v1/snapshots", body);
  EXPECT_EQ(taken.status, 409);
  EXPECT_EQ(taken.ErrorCode(), "already_exists");
  EXPECT_EQ(Call("POST", "/v1/snapshots?overwrite=false", body).status, 409);
  EXPECT_EQ(Call("POST", "/v1/snapshots?overwrite=true", body).status, 201);
  EXPECT_EQ(Call("POST", "/v1/snapshots?overwrite=maybe", body).status, 400);
  const Answer unnamed = Call("POST", "/v1/snapshots", R"({"sandbox_id":")" + id + "\"}");
  EXPECT_EQ(unnamed.status, 201);
  EXPECT_NE(unnamed.Json().at("name"), "");
  EXPECT_EQ(Call("POST", "/v1/snapshots", "{}").ErrorMessage(), "sandbox_id is required");
}

TEST_F(SnapshotsTest, ASnapshotIsShownWithoutItsSecret) {
  manager_.agent_token = "the-agents-secret";
  const std::string path = MakeSandbox();
  const std::string id = path.substr(path.rfind('/') + 1);
  for (const char* name : {"mine", "damaged"}) {
    const std::string body =
        json::serialize(json::object{{"sandbox_id", id}, {"name", std::string(name)}});
    ASSERT_EQ(Call("POST", "/v1/snapshots", body).status, 201);
  }
  const Answer shown = Call("GET", "/v1/snapshots/mine");
  ASSERT_EQ(shown.status, 200) << shown.body;
  EXPECT_EQ(shown.Json().at("name"), "mine");
  EXPECT_EQ(shown.Json().at("snapshot").at("layers"), 2);
  EXPECT_EQ(shown.Json().at("snapshot").at("memory_bytes"), 4096);
  EXPECT_EQ(shown.body.find("secret"), std::string::npos);
  const Answer good = Call("POST", "/v1/snapshots/mine/verify");
  EXPECT_EQ(good.status, 200);
  EXPECT_EQ(good.Json().at("ok"), true);
  EXPECT_EQ(good.Json().at("files"), 4);
  EXPECT_EQ(good.Json().at("unchecked"), 1);
  const Answer bad = Call("POST", "/v1/snapshots/damaged/verify");
  EXPECT_EQ(bad.status, 200);
  EXPECT_EQ(bad.Json().at("ok"), false);
  EXPECT_EQ(bad.Json().at("problems").at(0), "the machine state is damaged");
  EXPECT_EQ(Call("GET", "/v1/snapshots/nonesuch").status, 404);
  EXPECT_EQ(Call("POST", "/v1/snapshots/nonesuch/verify").status, 404);
}

TEST_F(SnapshotsTest, WhatATimeoutDoesIsChosen) {
  EXPECT_EQ(Call("POST", "/v1/sandboxes", "{}").Json().at("on_timeout"), "pause");
  const Answer stops = Call("POST", "/v1/sandboxes", R"({"on_timeout":"stop","egress":true})");
  EXPECT_EQ(stops.Json().at("on_timeout"), "stop");
  EXPECT_EQ(stops.Json().at("egress"), true);
  EXPECT_EQ(Call("POST", "/v1/sandboxes", R"({"on_timeout":7})").status, 400);
}

}  // namespace
}  // namespace wrenn::api
