#include "guest/agent/serial_ports.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <vector>

#include "wire/sockets.h"

namespace wrenn::guest {
namespace {

TEST(ConnectLocal, APortWhereNobodyAcceptsDoesNotHoldTheOthersUp) {
  auto listener = wire::ListenTcp("127.0.0.1", 0);
  ASSERT_TRUE(listener);
  ASSERT_EQ(::listen(listener->get(), 0), 0);
  const uint16_t port = wire::LocalPort(listener->get()).value();
  std::vector<UniqueFd> queue;
  for (;;) {
    auto queued = wire::ConnectTcp("127.0.0.1", port, Deadline::After(std::chrono::seconds(1)));
    if (!queued) break;
    queue.push_back(std::move(*queued));
    ASSERT_LT(queue.size(), 10u);
  }
  const auto before = Deadline::Clock::now();
  auto refused = ConnectLocal(port);
  EXPECT_LT(Deadline::Clock::now() - before, std::chrono::seconds(2));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kUnavailable);
  EXPECT_NE(refused.error().message.find("accepts no connections now"), std::string::npos);
  queue.clear();
  listener->Reset();
  auto gone = ConnectLocal(port);
  ASSERT_FALSE(gone);
  EXPECT_NE(gone.error().message.find("nothing listens"), std::string::npos);
}

}  // namespace
}  // namespace wrenn::guest
