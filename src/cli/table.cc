#include "cli/table.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "base/encoding.h"
#include "cli/terminal.h"

namespace wrenn::cli {
namespace {

std::string CleanCell(const std::string& cell) {
  std::string clean = WithoutControls(cell);
  std::ranges::replace_if(clean, [](char c) { return c == '\n' || c == '\t'; }, ' ');
  return clean.empty() ? "-" : clean;
}

}  // namespace

size_t Width(std::string_view text) {
  return static_cast<size_t>(std::ranges::count_if(
      text, [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

std::string Table::Format() const {
  std::vector<std::vector<std::string>> lines = {headings_};
  for (const auto& row : rows_) {
    auto& line = lines.emplace_back();
    std::ranges::transform(row, std::back_inserter(line), CleanCell);
  }
  std::vector<size_t> widths(headings_.size());
  for (const auto& line : lines) {
    for (size_t i = 0; i < line.size() && i < widths.size(); ++i) {
      widths[i] = std::max(widths[i], Width(line[i]));
    }
  }
  std::string text;
  for (const auto& line : lines) {
    for (size_t i = 0; i < line.size(); ++i) {
      text.append(line[i]);
      if (i + 1 < line.size()) text.append(widths[i] - Width(line[i]) + 2, ' ');
    }
    text.push_back('\n');
  }
  return text;
}

std::string FormatSpan(std::chrono::seconds span) {
  const auto seconds = std::max<int64_t>(span.count(), 0);
  if (seconds >= 86400) return fmt::format("{}d", seconds / 86400);
  if (seconds >= 3600) return fmt::format("{}h", seconds / 3600);
  if (seconds >= 60) return fmt::format("{}m", seconds / 60);
  return fmt::format("{}s", seconds);
}

std::string FormatAge(std::string_view time, std::chrono::system_clock::time_point now) {
  const auto when = ParseTime(time);
  if (!when) return "-";
  return FormatSpan(std::chrono::duration_cast<std::chrono::seconds>(now - *when));
}

std::string FormatBytes(uint64_t bytes) {
  constexpr std::array<const char*, 5> kUnits = {"B", "KiB", "MiB", "GiB", "TiB"};
  double value = static_cast<double>(bytes);
  size_t unit = 0;
  for (; value >= 1024 && unit + 1 < kUnits.size(); ++unit) value /= 1024;
  return unit == 0 ? fmt::format("{} B", bytes) : fmt::format("{:.1f} {}", value, kUnits[unit]);
}

}  // namespace wrenn::cli
