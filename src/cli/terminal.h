// The terminal: what it is, its raw mode, its size, colours, and messages on stderr.
#pragma once

#include <termios.h>

#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "wire/agent_api.h"

namespace wrenn::cli {

bool IsTerminal(int fd);

// "wrenn: message" on stderr, in colour when that is a terminal. The detail of an error is added
// with WRENN_DEBUG set.
void PrintError(const Error& error);
// "wrenn: text" on stderr: progress and remarks.
void PrintNote(std::string_view text);

enum class Colour { kNone, kGreen, kYellow, kRed, kDim };
// The text in a colour if stdout is a terminal and NO_COLOR is not set; unchanged otherwise.
std::string Paint(std::string_view text, Colour colour);

// The text without control characters but newline and tab: what a guest wrote must not drive the
// user's terminal.
std::string WithoutControls(std::string_view text);

// The size of the terminal on `fd`; 80 by 24 when there is none.
wire::PtySize TerminalSize(int fd);

// A terminal in raw mode (cfmakeraw(3)) as long as it lives.
class RawMode {
 public:
  static Result<RawMode> Enter(int fd);
  RawMode(RawMode&& other) noexcept : fd_(std::exchange(other.fd_, -1)), saved_(other.saved_) {}
  RawMode& operator=(RawMode&&) = delete;
  ~RawMode();

 private:
  RawMode(int fd, const termios& saved) : fd_(fd), saved_(saved) {}
  int fd_;
  termios saved_;
};

// One line that rewrites itself on a terminal, or lines of their own elsewhere; on stderr.
class ProgressLine {
 public:
  ProgressLine();
  ~ProgressLine() { Clear(); }
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;

  bool on_terminal() const { return terminal_; }
  // Shows the text in place of the last.
  void Show(std::string_view text);
  // Takes the line away on a terminal.
  void Clear();

 private:
  bool terminal_;
  bool shown_ = false;
};

}  // namespace wrenn::cli
