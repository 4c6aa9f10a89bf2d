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
                     "--timeout", "9", "--on-timeout", "stop", "--auto-resume", "--cold",
                     "--egress", "--env", "A=b=c", "--label", "x="}),
            (json::object{{"template", "t"},
                          {"vcpus", 2},
                          {"memory_mb", 256},
                          {"disk_mb", 1024},
                          {"timeout_sec", 9},
                          {"on_timeout", "stop"},
                          {"auto_resume", true},
                          {"cold", true},
                          {"egress", true},
                          {"envs", {{"A", "b=c"}}},
                          {"metadata", {{"x", ""}}}}));
}

TEST(SandboxOptions, TheNetworkIsWhatWasSaidOfIt) {
  EXPECT_EQ(Request({"--allow-out", "1.1.1.1,2606:4700::/32", "--allow-out", "9.9.9.9",
                     "--deny-out", "none", "--upload-kbps", "0", "--max-connections", "5"})
                .at("network"),
            (json::object{{"allow_out", {"1.1.1.1", "2606:4700::/32", "9.9.9.9"}},
                          {"deny_out", json::array()},
                          {"upload_kbps", 0},
                          {"max_connections", 5}}));
}

}  // namespace
}  // namespace wrenn::cli
