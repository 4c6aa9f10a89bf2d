#include "cli/stdout_writer.h"

#include <poll.h>
#include <unistd.h>

#include <cerrno>

namespace wrenn::cli {

StdoutWriter::StdoutWriter() : thread_(::pthread_self()) {
  struct sigaction interrupt{};
  interrupt.sa_handler = [](int) {};  // without SA_RESTART: write(2) answers EINTR
  ::sigaction(SIGUSR1, &interrupt, &before_);
}

StdoutWriter::~StdoutWriter() { ::sigaction(SIGUSR1, &before_, nullptr); }

Status StdoutWriter::Write(int fd, std::string_view data) {
  while (!data.empty()) {
    if (broken_off_) return Fail(Code::kCanceled, "the output was broken off");
    const ssize_t sent = ::write(fd, data.data(), data.size());
    if (sent >= 0) {
      data.remove_prefix(static_cast<size_t>(sent));
    } else if (errno == EAGAIN) {
      pollfd entry{fd, POLLOUT, 0};
      ::poll(&entry, 1, -1);
    } else if (errno != EINTR) {
      return Fail(ErrnoError("write"));
    }
  }
  return {};
}

void StdoutWriter::BreakOff() {
  broken_off_ = true;
  ::pthread_kill(thread_, SIGUSR1);
}

}  // namespace wrenn::cli
