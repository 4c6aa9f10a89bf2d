#include "agent/mux_lane.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <algorithm>

#include "base/revert.h"

namespace wrenn::agent {
namespace {

using std::chrono::milliseconds;

tl::unexpected<Error> Closed() {
  return Fail(Code::kUnavailable, "the connection to the guest is closed");
}

// Between two tries of a transport that does not say when the guest can be reached.
constexpr milliseconds kPause{10};
constexpr milliseconds kLongestTry{5000};

// Whatever keeps a guest from being reached is one thing to callers; only time-outs stay apart.
Error AsUnreachable(Error error) {
  if (error.code != Code::kDeadlineExceeded) error.code = Code::kUnavailable;
  return error;
}

// Where the host looked for it is for the log.
Error NoMachine(const Error& error) {
  if (error.code == Code::kDeadlineExceeded) {
    return {error.code, "the sandbox's machine takes no connections", error.ToString()};
  }
  return {Code::kUnavailable,
          "the sandbox's machine cannot be reached: its console ('wrenn logs') may say why",
          error.ToString()};
}

}  // namespace

Result<UniqueFd> MuxLane::Connect(uint16_t port, Deadline deadline) {
  for (;;) {
    ASSIGN_OR_RETURN(const Session session, Take(deadline));
    auto stream = session.mux->Connect(port, deadline);
    // A session that was dead without our knowing is made anew; one that dies at once is an error.
    if (stream || session.fresh || session.mux->alive()) return stream;
  }
}

Status MuxLane::Open(Deadline deadline) {
  if (transport_.first_try.count() > 0) return {};
  ASSIGN_OR_RETURN(UniqueFd socket, transport_.connect(deadline));
  std::lock_guard lock(mutex_);
  opened_ = std::move(socket);
  return {};
}

Result<MuxLane::Session> MuxLane::Take(Deadline deadline) {
  std::unique_lock lock(mutex_);
  for (;;) {
    if (closed_) return Closed();
    if (mux_ && mux_->alive()) return Session{mux_, false};
    if (!making_) break;
    if (deadline.IsNever()) {
      changed_.wait(lock);
    } else if (changed_.wait_until(lock, deadline.when()) == std::cv_status::timeout) {
      return Fail(Code::kDeadlineExceeded, "the guest's agent did not answer in time");
    }
  }
  // Whatever happens: who waits for us must get its turn.
  Revert made;
  made.Add([&] {
    if (!lock.owns_lock()) lock.lock();
    handshake_.Reset();
    making_ = false;
    changed_.notify_all();
  });
  making_ = true;
  auto mux = Make(lock, deadline);
  if (closed_) return Closed();
  if (!mux) return Fail(AsUnreachable(std::move(mux.error())));
  mux_ = std::move(*mux);
  return Session{mux_, true};
}

Result<std::shared_ptr<wire::Mux>> MuxLane::Make(std::unique_lock<std::mutex>& lock,
                                                 Deadline deadline) {
  // The old session's socket must be closed first: QEMU serves one connection at a time.
  auto old = std::exchange(mux_, nullptr);
  lock.unlock();
  old.reset();
  lock.lock();
  milliseconds limit = transport_.first_try;
  if (limit.count() == 0) return Try(lock, deadline);
  for (;;) {
    auto mux = Try(lock, Deadline::Earlier(deadline, Deadline::After(limit)));
    const bool late = !mux && mux.error().code == Code::kDeadlineExceeded;
    const bool again = late || (!mux && mux.error().code == Code::kAborted);
    if (!again || closed_) return mux;
    if (deadline.HasPassed()) {
      return Fail(Error{Code::kDeadlineExceeded, "the guest's agent did not answer in time",
                        mux.error().ToString()});
    }
    handshake_.Reset();  // or the connection that came to nothing would stay open
    if (late) limit = std::min(2 * limit, kLongestTry);
    const Deadline next = Deadline::Earlier(deadline, Deadline::After(kPause));
    changed_.wait_until(lock, next.when(), [this] { return closed_; });
  }
}

Result<std::shared_ptr<wire::Mux>> MuxLane::Try(std::unique_lock<std::mutex>& lock,
                                                Deadline deadline) {
  UniqueFd opened = std::move(opened_);
  lock.unlock();
  Result<UniqueFd> socket =
      opened ? Result<UniqueFd>(std::move(opened)) : transport_.connect(deadline);
  lock.lock();
  if (!socket) {
    return Fail(socket.error().code == Code::kAborted ? socket.error() : NoMachine(socket.error()));
  }
  handshake_.Reset(::fcntl(socket->get(), F_DUPFD_CLOEXEC, 0));
  if (!handshake_) return Fail(ErrnoError("cannot connect to the guest"));
  if (closed_) return Closed();
  lock.unlock();
  auto mux = wire::ConnectMux(std::move(*socket), deadline);
  lock.lock();
  if (mux) return std::shared_ptr<wire::Mux>(std::move(*mux));
  // A transport that is tried again may have connected to a guest that was not there any more.
  const bool broke = mux.error().code == Code::kUnavailable && transport_.first_try.count() > 0;
  if (broke) mux.error().code = Code::kAborted;
  return Fail(std::move(mux.error()));
}

void MuxLane::Close() {
  std::shared_ptr<wire::Mux> mux;
  {
    std::lock_guard lock(mutex_);
    closed_ = true;
    if (handshake_) ::shutdown(handshake_.get(), SHUT_RDWR);
    mux = std::exchange(mux_, nullptr);
    changed_.notify_all();
  }
  if (mux) mux->Close();
}

}  // namespace wrenn::agent
