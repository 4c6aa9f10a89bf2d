#include "cli/options.h"

#include <algorithm>

#include <gtest/gtest.h>

#include <CLI/App.hpp>

namespace wrenn::cli {
namespace {

// The request that these words make.
json::object Request(std::vector<std::string> words) {
  CLI::App app;
  SandboxOptions options;
  AddSandboxOptions(app, options, "base", "pause");
  std::ranges::reverse(words);  // as CLI11 wants them
  app.parse(words);
  return CreateRequest(options).value_or(json::object());
}

TEST(SandboxOptions, WhatIsNotSaidIsLeftToTheServer) {
  EXPECT_EQ(Request({}), (json::object{{"template", "base"}, {"timeout_sec", 300}}));
}

TEST(SandboxOptions, EachBecomesAField) {
  EXPECT_EQ(Request({"--template", "t", "--vcpus", "2", "--memory", "256", "--disk", "1024",
                     "--timeout", "9", "--on-timeout", "stop", "--auto-resume", "--egress", "--env",
                     "A=b=c", "--label", "x="}),
            (json::object{{"template", "t"},
                          {"vcpus", 2},
                          {"memory_mb", 256},
                          {"disk_mb", 1024},
                          {"timeout_sec", 9},
                          {"on_timeout", "stop"},
                          {"auto_resume", true},
                          {"egress", true},
                          {"envs", {{"A", "b=c"}}},
                          {"metadata", {{"x", ""}}}}));
}

}  // namespace
}  // namespace wrenn::cli
