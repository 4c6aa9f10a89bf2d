#include "server/log.h"

#include <spdlog/sinks/rotating_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

namespace wrenn::server {
namespace {

constexpr size_t kFileBytes = 10 << 20;
constexpr size_t kOldFiles = 3;
constexpr size_t kMaxText = 2000;

// What came from clients and guests, so that it cannot forge lines or colours.
std::string Printable(std::string_view text) {
  std::string out;
  for (const char c : text.substr(0, kMaxText)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7F) {
      out += fmt::format("\\x{:02x}", byte);
    } else {
      out.push_back(c);
    }
  }
  return out;
}

spdlog::level::level_enum LevelOf(sandbox::Severity severity) {
  switch (severity) {
    case sandbox::Severity::kInfo:
      return spdlog::level::info;
    case sandbox::Severity::kWarning:
      return spdlog::level::warn;
    case sandbox::Severity::kError:
      return spdlog::level::err;
  }
  return spdlog::level::info;
}

}  // namespace

Status OpenLog(const ServerConfig& config) {
  try {
    spdlog::sink_ptr sink;
    if (config.log_file.empty()) {
      sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
    } else {
      sink = std::make_shared<spdlog::sinks::rotating_file_sink_mt>(config.log_file, kFileBytes,
                                                                    kOldFiles);
    }
    auto logger = std::make_shared<spdlog::logger>("wrenn", std::move(sink));
    logger->set_pattern("%Y-%m-%dT%H:%M:%S.%eZ %l %v", spdlog::pattern_time_type::utc);
    logger->set_level(spdlog::level::from_str(config.log_level));
    logger->flush_on(spdlog::level::info);
    spdlog::set_default_logger(std::move(logger));
  } catch (const spdlog::spdlog_ex& exception) {
    return Fail(Code::kFailedPrecondition, "cannot write the log: {}", exception.what());
  }
  return {};
}

void LogAccess(const api::AccessEntry& entry) {
  const auto level = entry.status >= 500 ? spdlog::level::warn : spdlog::level::debug;
  if (!spdlog::should_log(level)) return;
  spdlog::log(level, "{} {} {} {:.1f} ms{}{}{}{}", Printable(entry.method), Printable(entry.path),
              entry.status, static_cast<double>(entry.took.count()) / 1000,
              entry.key_id.empty() ? "" : " ", entry.key_id, entry.error.empty() ? "" : ": ",
              Printable(entry.error));
}

void LogHappening(const sandbox::Happening& happening) {
  spdlog::log(LevelOf(happening.severity), "{}{}{}{}{}", happening.sandbox_id,
              happening.sandbox_id.empty() ? "" : " ", Printable(happening.message),
              happening.details.empty() ? "" : " ",
              happening.details.empty() ? "" : Printable(json::serialize(happening.details)));
}

void LogInfo(const std::string& message) { spdlog::info("{}", Printable(message)); }
void LogWarning(const std::string& message) { spdlog::warn("{}", Printable(message)); }

}  // namespace wrenn::server
