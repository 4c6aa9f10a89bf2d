#include "cli/interrupter.h"

#include <fcntl.h>
#include <sys/socket.h>

namespace wrenn::cli {

Status Interrupter::Add(int socket) {
  std::lock_guard lock(mutex_);
  if (interrupted_) return Fail(Code::kCanceled, "interrupted");
  UniqueFd duplicate(::fcntl(socket, F_DUPFD_CLOEXEC, 0));
  if (!duplicate) return Fail(ErrnoError("cannot duplicate a descriptor"));
  sockets_.push_back(std::move(duplicate));
  return {};
}

void Interrupter::Interrupt() {
  std::lock_guard lock(mutex_);
  interrupted_ = true;
  for (const UniqueFd& socket : sockets_) ::shutdown(socket.get(), SHUT_RDWR);
}

}  // namespace wrenn::cli
