#include "server/config.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <set>

#include "base/io.h"
#include "os/files.h"

namespace wrenn::server {
namespace {

// Sets a variable for the life of the object.
class Variable {
 public:
  Variable(const char* name, const std::string& value) : name_(name) {
    ::setenv(name, value.c_str(), 1);
  }
  ~Variable() { ::unsetenv(name_); }

 private:
  const char* name_;
};

std::string TomlError(std::string_view text) {
  ServerConfig config;
  auto applied = ApplyToml(text, "wrenn.toml", config);
  return applied ? "none" : applied.error().message;
}

TEST(Config, FilesSetEverything) {
  ServerConfig config;
  const auto applied = ApplyToml(R"(
listen = "0.0.0.0:9000"
root = "/srv/wrenn/"
on_shutdown = "stop"
ended_retention_hours = 1
log_level = "debug"
verify_at_load = "on"
[engine]
acceleration = "tcg"
[disk]
backend = "copy"
mb_per_sec = 100
ops_per_sec = 2000
[limits]
max_sandboxes = 7
max_memory_mb = 0
)",
                                 "wrenn.toml", config);
  ASSERT_TRUE(applied) << applied.error().message;
  EXPECT_EQ(config.address, "0.0.0.0");
  EXPECT_EQ(config.port, 9000);
  EXPECT_EQ(config.paths.root, "/srv/wrenn");
  EXPECT_EQ(config.paths.runtime, "/srv/wrenn/run");
  EXPECT_EQ(config.at_shutdown, sandbox::AtShutdown::kStop);
  EXPECT_EQ(config.ended_retention_hours, 1);
  EXPECT_TRUE(config.verify_at_load);
  EXPECT_EQ(config.acceleration, "tcg");
  EXPECT_EQ(config.disk_backend, "copy");
  EXPECT_EQ(config.disk_rate.bytes, 100 << 20);
  EXPECT_EQ(config.disk_rate.operations, 2000);
  EXPECT_EQ(config.limits.max_sandboxes, 7);
  EXPECT_EQ(config.limits.max_memory_mb, 0);
}

TEST(Config, ErrorsNameTheLine) {
  EXPECT_EQ(TomlError("\nlisten_on = \"x\"\n"), "wrenn.toml:2: unknown setting 'listen_on'");
  EXPECT_EQ(TomlError("[limits]\n\nmax_cats = 1\n"),
            "wrenn.toml:3: unknown setting 'limits.max_cats'");
  EXPECT_EQ(TomlError("[what]\nx = 1\n"), "wrenn.toml:2: unknown setting 'what.x'");
  EXPECT_EQ(TomlError("[limits]\nmax_vcpus = \"8\"\n"),
            "wrenn.toml:2: 'limits.max_vcpus' must be a whole number");
  EXPECT_EQ(TomlError("log_level = 3\n"), "wrenn.toml:1: 'log_level' must be a string");
  EXPECT_EQ(TomlError("\n\nlog_level = \"loud\"\n"),
            "wrenn.toml:3: log_level: 'loud' is none of debug, info, warn, error");
  EXPECT_EQ(TomlError("[limits]\nmax_vcpus = -1\n"),
            "wrenn.toml:2: limits.max_vcpus: '-1' is no whole number between 0 and 2147483647");
  EXPECT_TRUE(TomlError("listen = \n").starts_with("wrenn.toml:1: ")) << TomlError("listen = \n");
}

TEST(Config, FlagsGoOverTheEnvironmentAndThatOverTheFile) {
  auto directory = os::TemporaryDirectory::Make();
  ASSERT_TRUE(directory);
  const std::string file = directory->path() + "/wrenn.toml";
  ASSERT_TRUE(WriteFileAtomically(file,
                                  "listen = \"127.0.0.1:1\"\n[limits]\nmax_vcpus = 1\n"
                                  "max_sandboxes = 1\n"));
  const Variable config_file("WRENN_CONFIG", file);
  const Variable root("WRENN_ROOT", directory->path());
  EXPECT_EQ(LoadConfig({})->port, 1);
  const Variable listen("WRENN_LISTEN", "127.0.0.1:2");
  const Variable sandboxes("WRENN_MAX_SANDBOXES", "2");
  EXPECT_EQ(LoadConfig({})->port, 2);
  const auto config = LoadConfig({{"listen", "[::1]:3"}});
  ASSERT_TRUE(config);
  EXPECT_EQ(config->address, "::1");
  EXPECT_EQ(config->port, 3);
  EXPECT_EQ(config->limits.max_sandboxes, 2);
  EXPECT_EQ(config->limits.max_vcpus, 1);
  EXPECT_EQ(config->paths.root, directory->path());
  EXPECT_EQ(config->paths.runtime, directory->path() + "/run");
  const auto bad = LoadConfig({{"listen", "here"}});
  ASSERT_FALSE(bad);
  EXPECT_EQ(bad.error().message, "--listen: 'here' is no address and port such as 127.0.0.1:8080");
}

TEST(Config, AFileThatIsNamedMustExist) {
  const Variable root("WRENN_ROOT", "/tmp/wrenn-none");
  const Variable config_file("WRENN_CONFIG", "/nonexistent/wrenn.toml");
  EXPECT_FALSE(LoadConfig({}));
}

TEST(Config, ListenTakesAPortAlone) {
  ServerConfig config;
  ASSERT_TRUE(ApplyToml("listen = \"0\"", "x", config));
  EXPECT_EQ(config.address, "127.0.0.1");
  EXPECT_EQ(config.port, 0);
  ASSERT_TRUE(ApplyToml("listen = \"localhost:81\"", "x", config));
  EXPECT_EQ(config.address, "127.0.0.1");
  EXPECT_EQ(config.port, 81);
  EXPECT_FALSE(ApplyToml("listen = \":80\"", "x", config));
  EXPECT_FALSE(ApplyToml("listen = \"127.0.0.1:65536\"", "x", config));
}

TEST(Config, StandbyIsANumberOfSecondsOrOff) {
  ServerConfig config;
  EXPECT_EQ(config.standby_seconds, 60);
  ASSERT_TRUE(ApplyToml("standby = 5", "x", config));
  EXPECT_EQ(config.standby_seconds, 5);
  const auto off = LoadConfig({{"standby", "off"}, {"root", "/tmp/wrenn-none"}});
  ASSERT_TRUE(off) << off.error().ToString();
  EXPECT_EQ(off->standby_seconds, 0);
  EXPECT_FALSE(ApplyToml("standby = -1", "x", config));
}

TEST(Config, SettingsAreToldApart) {
  std::set<std::string_view> names;
  for (const Setting& setting : Settings()) {
    EXPECT_TRUE(names.insert(setting.key).second) << setting.key;
    EXPECT_TRUE(names.insert(setting.environment).second) << setting.environment;
    EXPECT_TRUE(names.insert(setting.flag).second) << setting.flag;
    EXPECT_TRUE(setting.environment.starts_with("WRENN_"));
    EXPECT_TRUE(setting.flag.starts_with("--"));
  }
}

TEST(Config, TheDocumentHasEachSettingAndNoOther) {
  const std::string document = *ReadFile(WRENN_OPERATIONS);
  for (const Setting& setting : Settings()) {
    const std::string row =
        fmt::format("\n| `{}` | `{}` | `{}` | ", setting.key, setting.environment, setting.flag);
    EXPECT_NE(document.find(row), std::string::npos) << row;
  }
  size_t rows = 0;
  const std::string_view kVariable = "` | `WRENN_";
  for (size_t at = 0; (at = document.find(kVariable, at)) != std::string::npos; ++at) ++rows;
  EXPECT_EQ(rows, Settings().size());
}

}  // namespace
}  // namespace wrenn::server
