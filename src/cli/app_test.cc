#include "cli/app.h"

#include <gtest/gtest.h>
#include <CLI/App.hpp>
#include <cstdlib>

#include "cli/command_words.h"

namespace wrenn::cli {
namespace {

using Words = std::vector<std::string>;

// Parses a command line; the exit code of a wrong one, or nothing. What it printed is in `printed`.
std::optional<int> ParseWords(Invocation& invocation, Words words, std::string* printed = nullptr) {
  const auto app = BuildApp(invocation);
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  const auto code = Parse(*app, invocation, std::move(words));
  const std::string out = testing::internal::GetCapturedStdout();
  testing::internal::GetCapturedStderr();
  if (printed) *printed = out;
  return code;
}

SplitWords Split(const std::string& subcommand, const Words& words, size_t positionals) {
  Invocation invocation;
  const auto app = BuildApp(invocation);
  return SplitCommand(*app->get_subcommand(subcommand), words, positionals);
}

TEST(SplitCommand, TheProgramBeginsBehindTheId) {
  const auto split = Split("exec", {"sb-1", "ls", "-l", "--", "x"}, 1);
  EXPECT_EQ(split.own, (Words{"sb-1"}));
  EXPECT_EQ(split.command, (Words{"ls", "-l", "--", "x"}));
}

TEST(SplitCommand, TwoDashesEndTheOptions) {
  const auto split = Split("exec", {"-i", "sb-1", "--", "-odd", "--", "x"}, 1);
  EXPECT_EQ(split.own, (Words{"-i", "sb-1"}));
  EXPECT_EQ(split.command, (Words{"-odd", "--", "x"}));
}

TEST(SplitCommand, AnOptionsValueIsNoId) {
  const auto split =
      Split("exec", {"--env", "A=1", "-u", "root", "-it", "--cwd=/", "sb-1", "id", "-u"}, 1);
  EXPECT_EQ(split.own, (Words{"--env", "A=1", "-u", "root", "-it", "--cwd=/", "sb-1"}));
  EXPECT_EQ(split.command, (Words{"id", "-u"}));
}

TEST(SplitCommand, RunTakesNoPositionals) {
  const auto split = Split("run", {"-t", "minimal", "python3", "--version"}, 0);
  EXPECT_EQ(split.own, (Words{"-t", "minimal"}));
  EXPECT_EQ(split.command, (Words{"python3", "--version"}));
}

TEST(Parse, ProgramsNamedLikeSubcommandsAreProgram) {
  Invocation invocation;
  EXPECT_FALSE(ParseWords(invocation, {"exec", "sb-1", "ls", "--all"}));
  EXPECT_EQ(invocation.command, (Words{"ls", "--all"}));
  EXPECT_EQ(invocation.failure_code, kOwnFailure);
  EXPECT_TRUE(invocation.run);
}

TEST(Parse, OptionsWithLists) {
  Invocation invocation;
  EXPECT_FALSE(ParseWords(invocation,
                          {"run", "--env", "A=1", "--env", "B=2", "--upload", "x", "--", "cat"}));
  EXPECT_EQ(invocation.command, (Words{"cat"}));
  EXPECT_FALSE(ParseWords(invocation, {"rm", "a", "b", "--force"}));
  EXPECT_FALSE(ParseWords(invocation, {"template", "build", "base", "--force"}));
  EXPECT_FALSE(
      ParseWords(invocation, {"serve", "--listen", "127.0.0.1:0", "--max-sandboxes", "3"}));
}

TEST(Parse, WrongCommandLinesAreUsageErrors) {
  for (const Words& words : {Words{},
                             Words{"nonsense"},
                             Words{"exec"},
                             Words{"exec", "sb-1"},
                             Words{"run", "--keep"},
                             Words{"pause"},
                             Words{"resume"},
                             Words{"fork"},
                             Words{"fork", "a", "b"},
                             Words{"fork", "a", "-n", "0"},
                             Words{"network"},
                             Words{"network", "a", "--upload-kbps", "-1"},
                             Words{"snapshot"},
                             Words{"snapshot", "create"},
                             Words{"snapshot", "rm"},
                             Words{"snapshot", "export", "x"},
                             Words{"snapshot", "import"},
                             Words{"create", "--on-timeout", "explode"},
                             Words{"rm"},
                             Words{"stop", "x", "--all"},
                             Words{"ls", "--nonsense"},
                             Words{"create", "--vcpus", "x"},
                             Words{"create", "--vcpus", "0"},
                             Words{"create", "--timeout", "-1"},
                             Words{"template"},
                             Words{"cp", "a"},
                             Words{"completion", "tcsh"},
                             Words{"template", "build", "x", "--packages", "/no/such"}}) {
    Invocation invocation;
    EXPECT_EQ(ParseWords(invocation, words), kUsageError)
        << fmt::format("{}", fmt::join(words, " "));
  }
}

TEST(Parse, EveryCommandHasHelpWithItsName) {
  Invocation invocation;
  const auto app = BuildApp(invocation);
  for (const CLI::App* command : app->get_subcommands({})) {
    std::string help;
    EXPECT_EQ(ParseWords(invocation, {command->get_name(), "--help"}, &help), kSuccess);
    EXPECT_NE(help.find("Usage: wrenn " + command->get_name()), std::string::npos) << help;
    // What ends the help of wrenn itself.
    EXPECT_EQ(help.find("says more about each"), std::string::npos) << help;
    EXPECT_EQ(help.find("FILE:FILE"), std::string::npos) << help;
  }
}

TEST(Parse, TheServersUrlStandsBeforeTheCommand) {
  for (const Words& url : {Words{"--url", "http://x:1"}, Words{"--url=http://x:1"}}) {
    Words words = url;
    words.insert(words.end(), {"exec", "sb-1", "ls", "--url"});
    Invocation invocation;
    EXPECT_FALSE(ParseWords(invocation, words));
    EXPECT_EQ(invocation.command, (Words{"ls", "--url"}));
    EXPECT_STREQ(std::getenv("WRENN_API_URL"), "http://x:1");
    ::unsetenv("WRENN_API_URL");
  }
  Invocation invocation;
  EXPECT_EQ(ParseWords(invocation, {"--url"}), kUsageError);
}

TEST(Parse, VersionIsAnOptionToo) {
  Invocation invocation;
  EXPECT_FALSE(ParseWords(invocation, {"--version"}));
  EXPECT_TRUE(invocation.run);
}

}  // namespace
}  // namespace wrenn::cli
