#include "cli/interruptible.h"

#include <poll.h>
#include <unistd.h>

#include <chrono>
#include <memory>

#include "base/io.h"
#include "cli/invocation.h"
#include "cli/signals.h"

namespace wrenn::cli {
namespace {

// What interrupted work may take to end in order.
constexpr std::chrono::milliseconds kInterruptLimit{10'000};

}  // namespace

Result<int> Interruptible(const std::function<Result<int>(const Api&)>& work) {
  ASSIGN_OR_RETURN(Api api, Api::FromEnvironment());
  const auto interrupter = std::make_shared<Interrupter>();
  api.set_interrupter(interrupter);
  ASSIGN_OR_RETURN(SignalSource signals, SignalSource::Take({SIGINT, SIGTERM, SIGHUP, SIGQUIT}));
  ASSIGN_OR_RETURN(UniqueFd stop, MakeEventFd());
  const int stop_fd = stop.get();
  SignalWatch watch(signals, std::move(stop), [&] {
    interrupter->Interrupt();
    pollfd entries[2] = {{stop_fd, POLLIN, 0}, {signals.fd(), POLLIN, 0}};
    const int ready = ::poll(entries, 2, static_cast<int>(kInterruptLimit.count()));
    if (ready <= 0 || !entries[0].revents) ::_exit(kSignalBase + SIGINT);
  });
  Result<int> done = work(api);
  if (const int signal = watch.Finish(); signal != 0 && !done) return kSignalBase + signal;
  return done;
}

}  // namespace wrenn::cli
