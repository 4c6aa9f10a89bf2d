#include "server/config.h"

#include <cstdlib>
#include <sstream>

#define TOML_EXCEPTIONS 0
#define TOML_HEADER_ONLY 1
#include <toml++/toml.h>

#include "base/io.h"

namespace wrenn::server {
namespace {

const Setting* FindSetting(std::string_view key) {
  for (const Setting& setting : Settings()) {
    if (setting.key == key) return &setting;
  }
  return nullptr;
}

std::string Place(const std::string& name, const toml::source_region& source) {
  return fmt::format("{}:{}", name, source.begin.line);
}

// A value's text, as the environment would have it; nothing for a wrong type.
std::optional<std::string> ValueText(const toml::node& node, bool number) {
  if (number) {
    const auto value = node.value_exact<int64_t>();
    return value ? std::optional(std::to_string(*value)) : std::nullopt;
  }
  return node.value_exact<std::string>();
}

// Applies what `table` holds; `prefix` is the table's own name with a dot.
Status ApplyTable(const toml::table& table, const std::string& prefix, const std::string& name,
                  std::map<std::string, std::string>& values,
                  std::map<std::string, std::string>& places) {
  for (const auto& [key, node] : table) {
    const std::string full = prefix + std::string(key.str());
    const std::string place = Place(name, key.source());
    if (const auto* inner = node.as_table(); inner && prefix.empty()) {
      RETURN_IF_ERROR(ApplyTable(*inner, full + ".", name, values, places));
      continue;
    }
    const Setting* setting = FindSetting(full);
    if (!setting) return Fail(Code::kInvalidArgument, "{}: unknown setting '{}'", place, full);
    auto text = ValueText(node, setting->number);
    if (!text) {
      return Fail(Code::kInvalidArgument, "{}: '{}' must be a {}", place, full,
                  setting->number ? "whole number" : "string");
    }
    values[full] = std::move(*text);
    places[full] = place;
  }
  return {};
}

Status Apply(ServerConfig& config, const Setting& setting, const std::string& value,
             std::string_view origin) {
  auto applied = setting.apply(config, value);
  if (!applied) return Fail(applied.error().WithContext(origin));
  return {};
}

Status ApplyFile(ServerConfig& config) {
  const char* chosen = std::getenv("WRENN_CONFIG");
  const std::string path = chosen && *chosen ? chosen : kDefaultConfigFile;
  auto text = ReadFile(path);
  if (!text && text.error().code == Code::kNotFound && path == kDefaultConfigFile) return {};
  if (!text) return Fail(std::move(text.error()));
  return ApplyToml(*text, path, config);
}

}  // namespace

Status ApplyToml(std::string_view text, const std::string& name, ServerConfig& config) {
  const toml::parse_result parsed = toml::parse(text);
  if (!parsed) {
    return Fail(Code::kInvalidArgument, "{}: {}", Place(name, parsed.error().source()),
                parsed.error().description());
  }
  std::map<std::string, std::string> values;
  std::map<std::string, std::string> places;
  RETURN_IF_ERROR(ApplyTable(parsed.table(), "", name, values, places));
  for (const Setting& setting : Settings()) {
    const std::string key(setting.key);
    if (const auto value = values.find(key); value != values.end()) {
      RETURN_IF_ERROR(Apply(config, setting, value->second, places[key] + ": " + key));
    }
  }
  return {};
}

Result<ServerConfig> LoadConfig(const std::map<std::string, std::string>& flags) {
  ServerConfig config;
  // Knows the variables for root and runtime itself, so that every command finds the same place.
  ASSIGN_OR_RETURN(config.paths, os::Paths::FromEnvironment());
  RETURN_IF_ERROR(ApplyFile(config));
  for (const Setting& setting : Settings()) {
    const char* value = std::getenv(std::string(setting.environment).c_str());
    if (value && *value) {
      RETURN_IF_ERROR(Apply(config, setting, value, fmt::format("${}", setting.environment)));
    }
  }
  for (const Setting& setting : Settings()) {
    if (const auto value = flags.find(std::string(setting.key)); value != flags.end()) {
      RETURN_IF_ERROR(Apply(config, setting, value->second, setting.flag));
    }
  }
  return config;
}

}  // namespace wrenn::server
