#include "cli/foreground.h"

#include <gtest/gtest.h>

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <condition_variable>
#include <mutex>

#include "cli/invocation.h"
#include "wire/http_server.h"
#include "wire/sockets.h"

namespace wrenn::cli {
namespace {

constexpr std::chrono::seconds kLong{60};

// A server with one program that runs until its client goes, and that answers no signal before
// Release().
class ForegroundTest : public testing::Test {
 protected:
  ForegroundTest() : server_([this](wire::Exchange& exchange) { Handle(exchange); }) {
    UniqueFd listener = *wire::ListenTcp("127.0.0.1", 0);
    port_ = *wire::LocalPort(listener.get());
    server_.Listen(std::move(listener));
  }
  ~ForegroundTest() override { Release(); }

  void Handle(wire::Exchange& exchange) {
    if (exchange.request().path().ends_with("/signal")) {
      std::unique_lock lock(mutex_);
      ++requests_;
      changed_.notify_all();
      changed_.wait_for(lock, kLong, [this] { return released_; });
      [[maybe_unused]] const Status sent = exchange.RespondEmpty(204);
      return;
    }
    const wire::RequestHead request = exchange.request();
    auto socket = api::WebSocket::Accept(exchange.Upgrade(), request, Deadline::After(kLong));
    ASSERT_TRUE(socket) << socket.error().ToString();
    ASSERT_TRUE((*socket)->Receive(Deadline::After(kLong)));
    ASSERT_TRUE((*socket)->SendText(R"({"type":"started","pid":7})", Deadline::After(kLong)));
    if (floods_) {
      const std::string output =
          json::serialize(json::object{{"type", "stdout"}, {"data", std::string(100'000, 'x')}});
      while ((*socket)->SendText(output, Deadline::After(kLong))) {
      }
    }
    while ((*socket)->Receive(Deadline::After(kLong))) {
    }
  }

  void Release() {
    std::lock_guard lock(mutex_);
    released_ = true;
    changed_.notify_all();
  }

  bool WaitForSignalRequest() {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, kLong, [this] { return requests_ > 0; });
  }

  // First, so that the server's threads do not get them.
  Result<SignalSource> signals_ = SignalSource::Take({SIGINT, SIGTERM});
  std::mutex mutex_;
  std::condition_variable changed_;
  int requests_ = 0;
  bool released_ = false;
  bool floods_ = false;  // the program writes as much as is taken
  uint16_t port_ = 0;
  wire::HttpServer server_;
};

// A signal that has come and that nobody has taken yet.
bool IsPending(int signal) {
  sigset_t pending;
  ::sigpending(&pending);
  return ::sigismember(&pending, signal) == 1;
}

TEST_F(ForegroundTest, TheThirdInterruptGivesUpThoughTheServerTakesNone) {
  ASSERT_TRUE(signals_);
  const Api api(Endpoint{"127.0.0.1", port_, {}}, "key");
  ProcessOptions options;
  options.command = {"sleep"};
  auto process = GuestProcess::Start(api, "sb-1", options);
  ASSERT_TRUE(process) << process.error().ToString();
  std::thread user([this] {
    ::kill(::getpid(), SIGINT);
    EXPECT_TRUE(WaitForSignalRequest());
    const Deadline limit = Deadline::After(kLong / 3);
    ::kill(::getpid(), SIGTERM);
    while (IsPending(SIGTERM) && !limit.HasPassed()) ::usleep(1000);
    EXPECT_FALSE(IsPending(SIGTERM)) << "the second waits for the first";
    ::kill(::getpid(), SIGINT);
  });
  const auto code = RunForeground(*process, *signals_, false);
  user.join();
  ASSERT_TRUE(code) << code.error().ToString();
  EXPECT_EQ(*code, kSignalBase + SIGINT);
  std::lock_guard lock(mutex_);
  EXPECT_FALSE(released_);
}

TEST_F(ForegroundTest, TheThirdInterruptGivesUpThoughNobodyReadsTheOutput) {
  ASSERT_TRUE(signals_);
  floods_ = true;
  Release();
  int pipe[2];
  ASSERT_EQ(::pipe2(pipe, O_CLOEXEC), 0);
  const UniqueFd reading(pipe[0]);
  const UniqueFd stdout_before(::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 0));
  ::dup2(pipe[1], STDOUT_FILENO);
  ::close(pipe[1]);
  const Api api(Endpoint{"127.0.0.1", port_, {}}, "key");
  ProcessOptions options;
  options.command = {"yes"};
  auto process = GuestProcess::Start(api, "sb-1", options);
  std::thread user([] {
    pollfd full{STDOUT_FILENO, POLLOUT, 0};
    const Deadline limit = Deadline::After(kLong / 3);
    while (::poll(&full, 1, 0) == 1 && !limit.HasPassed()) ::usleep(1000);
    for (int i = 0; i < 3; ++i) {
      ::kill(::getpid(), SIGINT);
      while (IsPending(SIGINT) && !limit.HasPassed()) ::usleep(1000);
    }
  });
  const auto code = process ? RunForeground(*process, *signals_, false) : Fail(process.error());
  user.join();
  ::dup2(stdout_before.get(), STDOUT_FILENO);
  ASSERT_TRUE(code) << code.error().ToString();
  EXPECT_EQ(*code, kSignalBase + SIGINT);
}

}  // namespace
}  // namespace wrenn::cli
