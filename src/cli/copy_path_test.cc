#include "cli/copy_path.h"

#include <gtest/gtest.h>

#include "cli/script_rule.h"

namespace wrenn::cli {
namespace {

TEST(CopyPath, TellsSandboxesFromLocalPaths) {
  const auto there = ParseCopyPath("sb-4k2:/etc/hosts:1");
  EXPECT_EQ(there->sandbox, "sb-4k2");
  EXPECT_EQ(there->path, "/etc/hosts:1");
  EXPECT_EQ(ParseCopyPath("sb-4k2:")->path, ".");
  for (const char* local : {"file", "./a:b", "/x/y:z", ":x", "A:x", "-", "a.b:c"}) {
    EXPECT_TRUE(ParseCopyPath(local)->is_local()) << local;
    EXPECT_EQ(ParseCopyPath(local)->path, local);
  }
  EXPECT_TRUE(ParseCopyPath("-")->is_stream());
  EXPECT_FALSE(ParseCopyPath("sb-1:-")->is_stream());
  EXPECT_FALSE(ParseCopyPath(""));
}

TEST(BaseName, IsTheLastPart) {
  EXPECT_EQ(BaseName("a/b"), "b");
  EXPECT_EQ(BaseName("a/b//"), "b");
  EXPECT_EQ(BaseName("b"), "b");
  for (const char* none : {"/", "", ".", "..", "a/.."}) EXPECT_EQ(BaseName(none), "") << none;
  EXPECT_EQ(JoinPath("/", "x"), "/x");
  EXPECT_EQ(JoinPath("a", "x"), "a/x");
}

std::optional<std::pair<std::string, size_t>> Find(const std::vector<std::string>& command) {
  const auto script = FindScript(command, [](const std::string& path) {
    return path == "job.py" || path == "/tmp/job.sh" || path == "./tool" || path == "d/x.py" ||
           path == "/bin/cat" || path == "data";
  });
  if (!script) return std::nullopt;
  return std::pair(script->name, script->word);
}

using Found = std::pair<std::string, size_t>;

TEST(FindScript, BehindAnInterpreter) {
  EXPECT_EQ(Find({"python3", "job.py", "data"}), Found("job.py", 1));
  EXPECT_EQ(Find({"python3.11", "-u", "d/x.py"}), Found("x.py", 2));
  EXPECT_EQ(Find({"sh", "/tmp/job.sh"}), Found("job.sh", 1));
  EXPECT_EQ(Find({"/usr/bin/env"}), std::nullopt);
  EXPECT_EQ(Find({"/usr/bin/bash", "-x", "/tmp/job.sh"}), Found("job.sh", 2));
}

TEST(FindScript, AProgramThatIsALocalPath) {
  EXPECT_EQ(Find({"./tool", "data"}), Found("tool", 0));
  EXPECT_EQ(Find({"/bin/cat", "data"}), std::nullopt);
}

TEST(FindScript, NothingElseIsTakenAlong) {
  EXPECT_EQ(Find({"cat", "data"}), std::nullopt);
  EXPECT_EQ(Find({"python3", "-c", "print(1)", "data"}), std::nullopt);
  EXPECT_EQ(Find({"python3", "-m", "module", "data"}), std::nullopt);
  EXPECT_EQ(Find({}), std::nullopt);
}

}  // namespace
}  // namespace wrenn::cli
