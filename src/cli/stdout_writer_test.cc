#include "cli/stdout_writer.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <future>
#include <thread>

#include "base/io.h"

namespace wrenn::cli {
namespace {

class StdoutWriterTest : public testing::Test {
 protected:
  void SetUp() override {
    int pipe[2];
    ASSERT_EQ(::pipe2(pipe, O_CLOEXEC), 0);
    reading_.Reset(pipe[0]);
    writing_.Reset(pipe[1]);
  }
  UniqueFd reading_;
  UniqueFd writing_;
};

TEST_F(StdoutWriterTest, AllArrives) {
  StdoutWriter writer;
  const std::string text(300'000, 'x');
  std::thread reader([&] {
    std::string got(text.size(), '\0');
    size_t size = 0;
    while (size < got.size()) {
      const ssize_t n = ::read(reading_.get(), got.data() + size, got.size() - size);
      ASSERT_GT(n, 0);
      size += static_cast<size_t>(n);
    }
    EXPECT_EQ(got, text);
  });
  EXPECT_TRUE(writer.Write(writing_.get(), text));
  reader.join();
}

// Blocking and not: both wait.
TEST_F(StdoutWriterTest, AWriteThatNobodyReadsIsBrokenOff) {
  for (const bool blocking : {true, false}) {
    if (!blocking) {
      ASSERT_TRUE(SetNonBlocking(writing_.get()));
    }
    std::promise<StdoutWriter*> made;
    std::promise<Status> written;
    std::promise<void> broken;  // the writer is needed no more
    std::thread thread([&] {
      StdoutWriter writer;
      made.set_value(&writer);
      written.set_value(writer.Write(writing_.get(), std::string(300'000, 'x')));
      broken.get_future().wait();
    });
    StdoutWriter* const writer = made.get_future().get();
    auto result = written.get_future();
    // The pipe is full: it waits, or is about to.
    pollfd entry{writing_.get(), POLLOUT, 0};
    while (::poll(&entry, 1, 0) == 1) ::usleep(1000);
    do {
      writer->BreakOff();
    } while (result.wait_for(std::chrono::milliseconds(10)) != std::future_status::ready);
    broken.set_value();
    EXPECT_EQ(result.get().error().code, Code::kCanceled);
    thread.join();
  }
}

TEST_F(StdoutWriterTest, AReaderThatIsGoneIsAnError) {
  ::signal(SIGPIPE, SIG_IGN);
  reading_.Reset();
  StdoutWriter writer;
  EXPECT_EQ(writer.Write(writing_.get(), "x").error().code, Code::kUnavailable);
}

}  // namespace
}  // namespace wrenn::cli
