#include "cli/complete.h"

#include <gtest/gtest.h>
#include <CLI/App.hpp>

#include "cli/app.h"
#include "cli/completion.h"
#include "os/command.h"

namespace wrenn::cli {
namespace {

CompletionSources Sources() {
  return {[](Which which) {
            std::vector<std::string> ids = {"sb-aaa", "sb-bbb"};
            if (which == Which::kPaused) ids.clear();
            if (which != Which::kRunning) ids.push_back("sb-paused");
            if (which == Which::kAll) ids.push_back("sb-ended");
            return ids;
          },
          [] { return std::vector<std::string>{"base", "minimal", "mine"}; },
          [] { return std::vector<std::string>{"mine"}; },
          [] { return std::vector<std::string>{"ky-1"}; }};
}

// The candidates at the end of a command line, with ":files" for those.
std::vector<std::string> At(std::vector<std::string> words) {
  Invocation invocation;
  const auto app = BuildApp(invocation);
  const Candidates found = Complete(*app, std::move(words), Sources());
  std::vector<std::string> result;
  for (const Candidate& candidate : found.words) result.push_back(candidate.word);
  if (found.files) result.emplace_back(":files");
  return result;
}

using List = std::vector<std::string>;

TEST(Complete, Commands) {
  EXPECT_EQ(At({"cr"}), List{"create"});
  EXPECT_EQ(At({"template", ""}), (List{"build", "ls", "inspect", "rm"}));
  EXPECT_GT(At({""}).size(), 14U);
  EXPECT_EQ(At({"nonsense"}), List{});
}

TEST(Complete, Options) {
  EXPECT_EQ(At({"ls", "--js"}), List{"--json"});
  EXPECT_EQ(At({"exec", "--ti"}), List{"--timeout"});
}

TEST(Complete, SandboxesAndTemplates) {
  EXPECT_EQ(At({"exec", ""}), (List{"sb-aaa", "sb-bbb"}));
  EXPECT_EQ(At({"exec", "-i", "--env", "A=1", "sb-b"}), List{"sb-bbb"});
  EXPECT_EQ(At({"rm", "sb-aaa", "sb-e"}), List{"sb-ended"});
  EXPECT_EQ(At({"logs", "x", ""}), List{});
  EXPECT_EQ(At({"create", "--template", "mini"}), List{"minimal"});
  EXPECT_EQ(At({"create", "--template", "=", "b"}), List{"base"});
  EXPECT_EQ(At({"create", "--on-timeout", "="}), (List{"pause", "stop"}));
  EXPECT_EQ(At({"create", "--on-timeout="}), (List{"--on-timeout=pause", "--on-timeout=stop"}));
  EXPECT_EQ(At({"create", "--template=b"}), List{"--template=base"});
  EXPECT_EQ(At({"create", "--json=b"}), List{});
  EXPECT_EQ(At({"template", "rm", "b"}), List{"base"});
  EXPECT_EQ(At({"key", "revoke", ""}), List{"ky-1"});
}

TEST(Complete, PausedOnesAndSnapshots) {
  EXPECT_EQ(At({"pause", "sb-"}), (List{"sb-aaa", "sb-bbb"}));
  EXPECT_EQ(At({"resume", ""}), List{"sb-paused"});
  EXPECT_EQ(At({"fork", "sb-p"}), List{"sb-paused"});
  EXPECT_EQ(At({"network", "sb-p"}), List{"sb-paused"});
  EXPECT_EQ(At({"network", "sb-paused", "--no-e"}), List{"--no-egress"});
  EXPECT_EQ(At({"fork", "-n", "2", "sb-p"}), List{"sb-paused"});
  EXPECT_EQ(At({"snapshot", ""}),
            (List{"create", "ls", "inspect", "verify", "rm", "export", "import"}));
  EXPECT_EQ(At({"snapshot", "create", "sb-a"}), List{"sb-aaa"});
  EXPECT_EQ(At({"snapshot", "create", "sb-aaa", "--name", ""}), List{"mine"});
  EXPECT_EQ(At({"snapshot", "rm", "a", ""}), List{"mine"});
  EXPECT_EQ(At({"snapshot", "verify", ""}), List{"mine"});
  EXPECT_EQ(At({"snapshot", "export", ""}), List{"mine"});
  EXPECT_EQ(At({"snapshot", "export", "mine", ""}), List{":files"});
  EXPECT_EQ(At({"snapshot", "import", ""}), List{":files"});
  EXPECT_EQ(At({"create", "--on-timeout", ""}), (List{"pause", "stop"}));
  EXPECT_EQ(At({"--url", "http://x", "resume", ""}), List{"sb-paused"});
}

// bash's words of "--url http://x:1" and "--url=http://x:1", and the word as other shells have it.
TEST(Complete, AsksTheServerOfTheCommandLine) {
  const std::vector<List> all = {{"--url", "http", ":", "//x", ":", "1"},
                                 {"--url", "=", "http", ":", "//x", ":", "1"},
                                 {"--url", "http://x:1"},
                                 {"--url=http://x:1"}};
  for (List words : all) {
    ::unsetenv("WRENN_API_URL");
    words.insert(words.end(), {"resume", ""});
    EXPECT_EQ(At(words), List{"sb-paused"});
    const char* asked = std::getenv("WRENN_API_URL");
    EXPECT_STREQ(asked ? asked : "none", "http://x:1");
  }
  ::unsetenv("WRENN_API_URL");
}

TEST(Complete, Files) {
  EXPECT_EQ(At({"cp", "sb-a"}), (List{"sb-aaa:", ":files"}));
  EXPECT_EQ(At({"cp", "sb-aaa", ":"}), List{});
  EXPECT_EQ(At({"cp", "x", "sb-aaa", ":", "/et"}), List{});
  EXPECT_EQ(At({"cp", "x", "sb-aaa:/et"}), List{});
  EXPECT_EQ(At({"exec", "sb-aaa", "cat", "x"}), List{":files"});
  EXPECT_EQ(At({"run", "--", "x"}), List{":files"});
  EXPECT_EQ(At({"run", "--upload", "x"}), List{":files"});
}

TEST(CompletionScript, ParsesInItsShell) {
  for (const char* shell : {"bash", "zsh", "fish"}) {
    const std::string script(CompletionScript(shell));
    ASSERT_FALSE(script.empty());
    if (!os::FindProgram(shell)) continue;
    os::CommandOptions options;
    options.argv = {shell, std::string(shell) == "fish" ? "--no-execute" : "-n", "-c", script};
    const auto parsed = os::RunCommand(options, Deadline::After(std::chrono::seconds(20)));
    ASSERT_TRUE(parsed);
    EXPECT_TRUE(parsed->exit.Success()) << shell << parsed->stderr_text;
  }
  EXPECT_TRUE(CompletionScript("tcsh").empty());
}

}  // namespace
}  // namespace wrenn::cli
