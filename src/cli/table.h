// Tables and quantities for people.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace wrenn::cli {

// Columns of text under headings, each as wide as its widest cell. Control characters in cells are
// replaced, so that what a guest wrote cannot drive the terminal.
class Table {
 public:
  explicit Table(std::vector<std::string> headings) : headings_(std::move(headings)) {}
  void Add(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }
  bool empty() const { return rows_.empty(); }
  // With a line of headings, columns two spaces apart, no space at a line's end.
  std::string Format() const;

 private:
  std::vector<std::string> headings_;
  std::vector<std::vector<std::string>> rows_;
};

// "7s", "3m", "5h", "12d": the largest unit of which there is one; "0s" for less.
std::string FormatSpan(std::chrono::seconds span);

// How long ago an RFC 3339 time was, "-" when it is empty or malformed.
std::string FormatAge(std::string_view time, std::chrono::system_clock::time_point now);

// "512 B", "4.0 KiB", "1.5 GiB".
std::string FormatBytes(uint64_t bytes);

// The characters of UTF-8 text (not its bytes): what padding counts.
size_t Width(std::string_view text);

}  // namespace wrenn::cli
