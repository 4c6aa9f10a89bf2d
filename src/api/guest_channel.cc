#include "api/guest_channel.h"

#include <fcntl.h>
#include <sys/socket.h>

namespace wrenn::api {

Result<UniqueFd> CuttableChannel::Connect(uint16_t port, agent::Lane lane, Deadline deadline) {
  ASSIGN_OR_RETURN(UniqueFd connection, inner_.Connect(port, lane, deadline));
  UniqueFd duplicate(::fcntl(connection.get(), F_DUPFD_CLOEXEC, 0));
  if (!duplicate) return Fail(ErrnoError("cannot duplicate a descriptor"));
  std::lock_guard lock(mutex_);
  if (cut_) return Fail(Code::kCanceled, "the call was ended");
  current_ = std::move(duplicate);
  return connection;
}

void CuttableChannel::Cut() {
  std::lock_guard lock(mutex_);
  cut_ = true;
  if (current_) ::shutdown(current_.get(), SHUT_RDWR);
}

}  // namespace wrenn::api
