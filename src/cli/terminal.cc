#include "cli/terminal.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

namespace wrenn::cli {
namespace {

constexpr std::string_view kReset = "\x1b[0m";

std::string_view Sequence(Colour colour) {
  switch (colour) {
    case Colour::kGreen:
      return "\x1b[32m";
    case Colour::kYellow:
      return "\x1b[33m";
    case Colour::kRed:
      return "\x1b[31m";
    case Colour::kDim:
      return "\x1b[2m";
    case Colour::kNone:
      break;
  }
  return "";
}

bool Colourful(int fd) {
  const char* off = std::getenv("NO_COLOR");
  return IsTerminal(fd) && (!off || !*off);
}

std::string PaintFor(int fd, std::string_view text, Colour colour) {
  if (colour == Colour::kNone || !Colourful(fd)) return std::string(text);
  return fmt::format("{}{}{}", Sequence(colour), text, kReset);
}

}  // namespace

bool IsTerminal(int fd) { return ::isatty(fd) == 1; }

void PrintError(const Error& error) {
  std::fflush(stdout);
  const bool debug = std::getenv("WRENN_DEBUG") != nullptr;
  fmt::print(stderr, "{} {}\n", PaintFor(STDERR_FILENO, "wrenn:", Colour::kRed),
             WithoutControls(debug ? error.ToString() : error.message));
}

void PrintNote(std::string_view text) {
  std::fflush(stdout);
  fmt::print(stderr, "{} {}\n", PaintFor(STDERR_FILENO, "wrenn:", Colour::kDim),
             WithoutControls(text));
}

std::string Paint(std::string_view text, Colour colour) {
  return PaintFor(STDOUT_FILENO, text, colour);
}

std::string WithoutControls(std::string_view text) {
  std::string clean;
  clean.reserve(text.size());
  for (size_t at = 0; at < text.size(); ++at) {
    const auto byte = static_cast<unsigned char>(text[at]);
    if (byte == '\r' && at + 1 < text.size() && text[at + 1] == '\n') continue;
    const bool control = (byte < 0x20 && byte != '\n' && byte != '\t') || byte == 0x7F;
    // C1 controls are U+0080 to U+009F, in UTF-8 0xC2 and 0x80 to 0x9F.
    const bool c1 =
        byte == 0xC2 && at + 1 < text.size() && static_cast<unsigned char>(text[at + 1]) < 0xA0;
    if (c1) ++at;
    clean.push_back(control || c1 ? '?' : text[at]);
  }
  return clean;
}

wire::PtySize TerminalSize(int fd) {
  winsize size{};
  if (::ioctl(fd, TIOCGWINSZ, &size) < 0 || size.ws_col == 0 || size.ws_row == 0) return {};
  return {size.ws_col, size.ws_row};
}

Result<RawMode> RawMode::Enter(int fd) {
  termios saved{};
  if (::tcgetattr(fd, &saved) < 0) return Fail(ErrnoError("cannot read the terminal's mode"));
  termios raw = saved;
  ::cfmakeraw(&raw);
  if (::tcsetattr(fd, TCSADRAIN, &raw) < 0)
    return Fail(ErrnoError("cannot set the terminal's mode"));
  return RawMode(fd, saved);
}

RawMode::~RawMode() {
  if (fd_ >= 0) ::tcsetattr(fd_, TCSADRAIN, &saved_);
}

ProgressLine::ProgressLine() : terminal_(IsTerminal(STDERR_FILENO)) {}

void ProgressLine::Show(std::string_view text) {
  if (!terminal_) {
    PrintNote(text);
    return;
  }
  const size_t width = TerminalSize(STDERR_FILENO).cols;
  const std::string line = WithoutControls(text).substr(0, width > 1 ? width - 1 : 1);
  fmt::print(stderr, "\r\x1b[K{}", line);
  std::fflush(stderr);
  shown_ = true;
}

void ProgressLine::Clear() {
  if (!terminal_ || !shown_) return;
  fmt::print(stderr, "\r\x1b[K");
  std::fflush(stderr);
  shown_ = false;
}

}  // namespace wrenn::cli
