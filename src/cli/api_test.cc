#include "cli/api.h"

#include <gtest/gtest.h>

#include "cli/guest_process.h"
#include "cli/options.h"
#include "os/files.h"
#include "server/root_lock.h"
#include "wire/http_server.h"
#include "wire/sockets.h"

namespace wrenn::cli {
namespace {

TEST(ParseUrl, TakesServersApart) {
  const auto plain = ParseUrl("http://127.0.0.1:8080");
  EXPECT_EQ(plain->Address(), "127.0.0.1:8080");
  EXPECT_TRUE(plain->IsLoopback());
  const auto named = ParseUrl("http://wrenn.example/base/");
  EXPECT_EQ(named->Address(), "wrenn.example:80");
  EXPECT_EQ(named->prefix, "/base");
  EXPECT_FALSE(named->IsLoopback());
  const auto v6 = ParseUrl("http://[::1]:9000/");
  EXPECT_EQ(v6->Address(), "[::1]:9000");
  EXPECT_EQ(v6->prefix, "");
  EXPECT_TRUE(v6->IsLoopback());
  EXPECT_TRUE(ParseUrl("http://localhost")->IsLoopback());
}

TEST(ParseUrl, RefusesOthers) {
  for (const char* url : {"", "127.0.0.1:8080", "https://x", "http://", "http://:80", "http://x:0",
                          "http://x:99999", "http://x:8a", "http://[::1", "http://[::1]x"}) {
    EXPECT_EQ(ParseUrl(url).error().code, Code::kInvalidArgument) << url;
  }
}

// A server that answers every request with what the test says, and an Api that asks it.
class ApiTest : public testing::Test {
 protected:
  ApiTest()
      : server_([this](wire::Exchange& exchange) {
          seen_ = exchange.request();
          [[maybe_unused]] const Status sent = exchange.Respond(status_, "application/json", body_);
        }) {
    UniqueFd listener = *wire::ListenTcp("127.0.0.1", 0);
    port_ = *wire::LocalPort(listener.get());
    server_.Listen(std::move(listener));
  }
  Api Make() const { return Api(Endpoint{"127.0.0.1", port_, "/p"}, "secret"); }

  int status_ = 200;
  std::string body_ = "{}";
  wire::RequestHead seen_;
  uint16_t port_ = 0;
  wire::HttpServer server_;
};

TEST_F(ApiTest, SendsKeyAndPrefix) {
  body_ = R"({"a":1})";
  const json::object request = {{"x", 2}};
  const auto answer = Make().Call("POST", "/v1/y", &request);
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->at("a"), 1);
  EXPECT_EQ(seen_.target, "/p/v1/y");
  EXPECT_EQ(seen_.fields.Get("x-api-key"), "secret");
}

TEST_F(ApiTest, ErrorsComeWithCodeAndMessage) {
  status_ = 404;
  body_ = R"({"error":{"code":"not_found","message":"no sandbox 'x'"}})";
  const auto answer = Make().Call("GET", "/");
  EXPECT_EQ(answer.error().code, Code::kNotFound);
  EXPECT_EQ(answer.error().message, "no sandbox 'x'");
}

TEST_F(ApiTest, AnotherProgramIsNamedAsThat) {
  for (const int status : {200, 404}) {
    status_ = status;
    body_ = "<html>hello</html>";
    const auto answer = Make().Call("GET", "/");
    ASSERT_FALSE(answer);
    EXPECT_NE(
        answer.error().message.find(fmt::format("what listens at 127.0.0.1:{} does not answer "
                                                "as wrenn does",
                                                port_)),
        std::string::npos)
        << answer.error().message;
  }
}

TEST_F(ApiTest, ARefusedKeyNamesTheRemedy) {
  status_ = 401;
  body_ = R"({"error":{"code":"unauthenticated","message":"the key is not known"}})";
  EXPECT_NE(Make().Call("GET", "/").error().message.find("WRENN_API_KEY"), std::string::npos);
}

TEST_F(ApiTest, WithoutAServerTheMessageSaysHowToStartOne) {
  server_.Stop();
  const auto answer = Make().Call("GET", "/");
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, Code::kUnavailable);
  EXPECT_EQ(answer.error().message, fmt::format("no server at 127.0.0.1:{}: start one with 'wrenn "
                                                "serve --detach'",
                                                port_));
}

// The environment of FromEnvironment(), with a root that has a key.
class EnvironmentTest : public testing::Test {
 protected:
  EnvironmentTest() : directory_(*os::TemporaryDirectory::Make()) {
    ::setenv("WRENN_ROOT", directory_.path().c_str(), 1);
    ::setenv("WRENN_CONFIG", "/dev/null", 1);
    ::unsetenv("WRENN_API_KEY");
    EXPECT_TRUE(WriteFileAtomically(directory_.path() + "/api-key", "of-the-root\n", 0600));
  }
  ~EnvironmentTest() override {
    for (const char* name : {"WRENN_ROOT", "WRENN_CONFIG", "WRENN_API_KEY", "WRENN_API_URL"}) {
      ::unsetenv(name);
    }
  }
  // As if the root's server listened there, as long as the object lives.
  std::optional<server::RootLock> RunAt(const std::string& address) const {
    const os::Paths paths{.root = directory_.path(), .runtime = directory_.path() + "/run"};
    EXPECT_TRUE(paths.Prepare());
    auto lock = server::RootLock::Acquire(paths);
    EXPECT_TRUE(lock && lock->Announce(address));
    return lock ? std::optional<server::RootLock>(std::move(*lock)) : std::nullopt;
  }
  static std::string KeyFor(const char* url) {
    ::setenv("WRENN_API_URL", url, 1);
    const auto api = Api::FromEnvironment();
    return api ? std::string(api->MakeHead("GET", "/").fields.Get("x-api-key")) : "no API";
  }

  os::TemporaryDirectory directory_;
};

TEST_F(EnvironmentTest, TheRootsKeyGoesToTheRootsServerAlone) {
  EXPECT_EQ(KeyFor("http://127.0.0.1:9"), "") << "nobody, or anybody, listens there";
  {
    const auto server = RunAt("127.0.0.1:9");
    EXPECT_EQ(KeyFor("http://127.0.0.1:9"), "of-the-root");
    EXPECT_EQ(KeyFor("http://localhost:9"), "of-the-root");
    EXPECT_EQ(KeyFor(""), "of-the-root");
    for (const char* url : {"http://127.0.0.1:10", "http://127.0.0.2:9", "http://127.0.0.1:9/proxy",
                            "http://192.0.2.1:9", "http://127.0.0.1.example:9"}) {
      EXPECT_EQ(KeyFor(url), "") << url;
    }
  }
  EXPECT_EQ(KeyFor("http://127.0.0.1:9"), "") << "it has ended";
  {
    const auto server = RunAt("0.0.0.0:9");
    EXPECT_EQ(KeyFor("http://127.0.0.1:9"), "of-the-root");
  }
  ::setenv("WRENN_API_KEY", "given", 1);
  EXPECT_EQ(KeyFor("http://192.0.2.1:9"), "given");
  EXPECT_EQ(KeyFor("http://127.0.0.1:9"), "given");
}

TEST_F(EnvironmentTest, ARootsServerGetsThatRootsKey) {
  ::setenv("WRENN_API_KEY", "of-another", 1);
  const os::Paths paths{.root = directory_.path(), .runtime = directory_.path() + "/run"};
  const auto api = Api::OfRoot(paths, "http://127.0.0.1:9");
  ASSERT_TRUE(api);
  EXPECT_EQ(api->endpoint().port, 9);
  EXPECT_EQ(api->MakeHead("GET", "/").fields.Get("x-api-key"), "of-the-root");
}

TEST_F(EnvironmentTest, TheSettingsFileSaysWhereTheRootIs) {
  const std::string file = directory_.path() + "/wrenn.toml";
  ASSERT_TRUE(WriteFileAtomically(file, fmt::format("root = '{}'\n", directory_.path()), 0600));
  ::unsetenv("WRENN_ROOT");
  ::setenv("WRENN_CONFIG", file.c_str(), 1);
  const auto server = RunAt("127.0.0.1:9");
  EXPECT_EQ(KeyFor("http://127.0.0.1:9"), "of-the-root");
}

TEST_F(EnvironmentTest, TheServerIsFoundWhereverItListens) {
  const std::string file = directory_.path() + "/wrenn.toml";
  ASSERT_TRUE(WriteFileAtomically(file, "listen = '127.0.0.1:9191'\n", 0600));
  const os::Paths paths{.root = directory_.path(), .runtime = directory_.path() + "/run"};
  ASSERT_TRUE(paths.Prepare());
  const auto address = [] {
    const auto api = Api::FromEnvironment();
    return api ? api->endpoint().Address() : api.error().ToString();
  };
  EXPECT_EQ(address(), "127.0.0.1:8080");
  ::setenv("WRENN_CONFIG", file.c_str(), 1);
  EXPECT_EQ(address(), "127.0.0.1:9191");
  {
    auto lock = server::RootLock::Acquire(paths);
    ASSERT_TRUE(lock) << lock.error().ToString();
    EXPECT_EQ(address(), "127.0.0.1:9191") << "it does not answer yet";
    ASSERT_TRUE(lock->Announce("0.0.0.0:4242"));
    EXPECT_EQ(address(), "127.0.0.1:4242");
    ::setenv("WRENN_API_URL", "http://192.0.2.1:9", 1);
    EXPECT_EQ(address(), "192.0.2.1:9");
    ::unsetenv("WRENN_API_URL");
  }
  EXPECT_EQ(address(), "127.0.0.1:9191") << "the server has ended";
  {
    auto lock = server::RootLock::Acquire(paths);
    ASSERT_TRUE(lock && lock->Announce("[::]:4242"));
    EXPECT_EQ(address(), "[::1]:4242");
  }
  ASSERT_TRUE(WriteFileAtomically(file, "listen = nonsense\n", 0600));
  EXPECT_NE(address().find("wrenn.toml:1"), std::string::npos) << address();
}

TEST(ShellExitCode, IsAsAShellGivesIt) {
  EXPECT_EQ(ShellExitCode(3, "exit status 3"), 3);
  EXPECT_EQ(ShellExitCode(-1, "signal: killed"), 137);
  EXPECT_EQ(ShellExitCode(-1, "signal: terminated"), 143);
  EXPECT_EQ(ShellExitCode(-1, "signal: interrupt"), 130);
  EXPECT_EQ(ShellExitCode(-1, "signal: segmentation fault (core dumped)"), 139);
  EXPECT_EQ(ShellExitCode(-1, "timed out"), 137);
  EXPECT_EQ(ShellExitCode(-1, "who knows"), 125);
}

TEST(ReadPairs, TakesValuesFromTheEnvironment) {
  ::setenv("WRENN_TEST_PAIR", "v", 1);
  const auto pairs =
      ReadPairs({"A=b=c", "WRENN_TEST_PAIR", "WRENN_TEST_ABSENT", "E="}, "--env", true);
  ASSERT_TRUE(pairs);
  EXPECT_EQ(*pairs, (json::object{{"A", "b=c"}, {"WRENN_TEST_PAIR", "v"}, {"E", ""}}));
  EXPECT_FALSE(ReadPairs({"A"}, "--label", false));
  EXPECT_FALSE(ReadPairs({"=x"}, "--env", true));
}

}  // namespace
}  // namespace wrenn::cli
