// For tests alone: a guest with services behind a virtio-serial port, and helpers to talk to them.
#pragma once

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "base/gate.h"
#include "wire/mux.h"

namespace wrenn::wire {

using std::chrono::milliseconds;
using std::chrono::seconds;

// Answers what it reads, and ends after its reader's end.
inline constexpr uint16_t kEchoPort = 7;
// Never reads.
inline constexpr uint16_t kStallPort = 9;
// Writes without end.
inline constexpr uint16_t kFloodPort = 19;
// Reads to the end, then answers with count and checksum.
inline constexpr uint16_t kCountPort = 20;
// Says "hello", ends, and reads on to the end.
inline constexpr uint16_t kHelloPort = 21;

inline Deadline Soon() { return Deadline::After(seconds(60)); }

// FNV-1a, to compare streams of any length.
class Checksum {
 public:
  void Add(std::string_view bytes) {
    for (const char c : bytes) value_ = (value_ ^ static_cast<unsigned char>(c)) * 1099511628211u;
    count_ += bytes.size();
  }
  std::string Text() const { return fmt::format("{}:{:x}", count_, value_); }

 private:
  uint64_t value_ = 14695981039346656037u;
  uint64_t count_ = 0;
};

inline std::string RandomText(size_t size, uint32_t seed) {
  std::mt19937 random(seed);
  std::string text(size, '\0');
  for (char& c : text) c = static_cast<char>(random());
  return text;
}

// Everything up to the end of the stream.
inline Result<std::string> ReadToEnd(int fd) {
  std::string text;
  char buffer[32 << 10];
  for (;;) {
    ASSIGN_OR_RETURN(const size_t got, ReadSome(fd, buffer, Soon()));
    if (got == 0) return text;
    text.append(buffer, got);
  }
}

inline Result<std::string> ReadExactly(int fd, size_t size) {
  std::string text(size, '\0');
  for (size_t at = 0; at < size;) {
    ASSIGN_OR_RETURN(const size_t got, ReadSome(fd, std::span(text).subspan(at), Soon()));
    if (got == 0) return Fail(Code::kUnavailable, "ended after {} bytes", at);
    at += got;
  }
  return text;
}

// Writes until the other side takes no more for a while; how many bytes it took.
inline size_t WriteUntilStuck(int fd) {
  const std::string chunk(16 << 10, 'x');
  size_t total = 0;
  for (;;) {
    const ssize_t sent = ::send(fd, chunk.data(), chunk.size(), MSG_NOSIGNAL);
    if (sent > 0) {
      total += static_cast<size_t>(sent);
    } else if (errno != EAGAIN || !WaitReady(fd, POLLOUT, Deadline::After(milliseconds(300)))) {
      return total;
    }
  }
}

// The services of a guest, on threads of their own.
class Services {
 public:
  ~Services() {
    gate_.Close();
    {
      std::lock_guard lock(mutex_);
      for (auto& fd : held_) ::shutdown(fd->get(), SHUT_RDWR);
    }
    gate_.WaitEmpty(Deadline::Never());
  }

  Result<UniqueFd> Accept(uint16_t port) {
    if (port != kEchoPort && port != kStallPort && port != kFloodPort && port != kCountPort &&
        port != kHelloPort) {
      return Fail(Code::kUnavailable, "nothing listens on port {}", port);
    }
    ASSIGN_OR_RETURN(auto pair, SocketPair());
    auto fd = std::make_shared<UniqueFd>(std::move(pair.second));
    {
      std::lock_guard lock(mutex_);
      held_.push_back(fd);
    }
    std::thread([this, port, fd, pass = gate_.Enter()]() mutable {
      Serve(port, fd->get());
      {
        std::lock_guard lock(mutex_);
        std::erase(held_, fd);
        fd.reset();
      }
      changed_.notify_all();
      pass = Gate::Pass();
    }).detach();
    return std::move(pair.first);
  }

  // Waits until no service has a connection any more.
  bool WaitNoneOpen() {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, seconds(60), [&] { return held_.empty(); });
  }
  uint64_t flooded() const { return flooded_; }

 private:
  void Serve(uint16_t port, int fd) {
    Checksum sum;
    char buffer[16 << 10];
    if (port == kStallPort) {
      // Until the other end closes: a hang-up comes without reading.
      [[maybe_unused]] auto gone = WaitReady(fd, 0, Deadline::Never());
      return;
    }
    if (port == kFloodPort) {
      const std::string chunk(16 << 10, 'f');
      while (WriteAll(fd, chunk, Deadline::Never())) flooded_ += chunk.size();
      return;
    }
    if (port == kHelloPort) {
      [[maybe_unused]] auto sent = WriteAll(fd, "hello", Soon());
      ::shutdown(fd, SHUT_WR);
    }
    for (;;) {
      const auto got = ReadSome(fd, buffer, Deadline::Never());
      if (!got || *got == 0) break;
      const std::string_view data(buffer, *got);
      sum.Add(data);
      if (port == kEchoPort && !WriteAll(fd, data, Deadline::Never())) break;
    }
    if (port == kCountPort) [[maybe_unused]]
      auto sent = WriteAll(fd, sum.Text(), Soon());
  }

  Gate gate_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::shared_ptr<UniqueFd>> held_;
  std::atomic<uint64_t> flooded_{0};
};

// A guest behind a virtio-serial port: its side stays open while hosts come and go. What the guest
// writes while no host is there is lost, as with QEMU.
class Guest {
 public:
  Guest() {
    auto pair = SocketPair();
    port_ = std::move(pair->first);
    guest_end_ = std::move(pair->second);
    stop_ = std::move(*MakeEventFd());
    replug_ = std::move(*MakeEventFd());
    server_ = std::thread([this] {
      MuxServerOptions options;
      options.accept = [this](uint16_t port) { return services_.Accept(port); };
      options.wait_for_peer = [] { return false; };
      options.stop = stop_.get();
      status_ = ServeMux(guest_end_.get(), options);
    });
    relay_ = std::thread([this] { Relay(); });
  }
  ~Guest() {
    Stop();
    ending_ = true;
    SignalEventFd(replug_.get());
    relay_.join();
  }

  void Stop() {
    SignalEventFd(stop_.get());
    if (server_.joinable()) server_.join();
  }

  // A new host's socket. After `cut` bytes of the host were passed on, the host is cut off. An
  // earlier host is cut off as well.
  UniqueFd Plug(size_t cut = SIZE_MAX) {
    auto pair = SocketPair();
    std::lock_guard lock(mutex_);
    next_ = std::move(pair->second);
    next_cut_ = cut;
    SignalEventFd(replug_.get());
    return std::move(pair->first);
  }

  Result<std::unique_ptr<Mux>> Connect() { return ConnectMux(Plug(), Soon()); }
  Services& services() { return services_; }
  const Status& status() const { return status_; }

 private:
  void Relay() {
    std::vector<char> buffer(64 << 10);
    UniqueFd host;
    size_t cut = 0;
    while (!ending_) {
      pollfd entries[3] = {
          {port_.get(), POLLIN, 0}, {host.get(), POLLIN, 0}, {replug_.get(), POLLIN, 0}};
      ::poll(entries, 3, -1);
      if (entries[2].revents) {
        // Under the lock, or a plug in between is taken now, and lost when its own signal comes.
        std::lock_guard lock(mutex_);
        DrainEventFd(replug_.get());
        host = std::move(next_);
        cut = next_cut_;
        continue;
      }
      if (entries[0].revents) {
        const ssize_t got = ::read(port_.get(), buffer.data(), buffer.size());
        if (got <= 0) return;
        if (host && !WriteAll(host.get(), {buffer.data(), static_cast<size_t>(got)}, Soon()))
          host.Reset();
      }
      if (host && entries[1].revents) {
        const ssize_t got = ::read(host.get(), buffer.data(), std::min(cut, buffer.size()));
        if (got > 0) {
          cut -= static_cast<size_t>(got);
          if (!WriteAll(port_.get(), {buffer.data(), static_cast<size_t>(got)}, Soon())) return;
        }
        if (got <= 0 || cut == 0) host.Reset();
      }
    }
  }

  Services services_;
  UniqueFd port_, guest_end_, stop_, replug_;
  std::mutex mutex_;
  UniqueFd next_;
  size_t next_cut_ = 0;
  std::atomic<bool> ending_{false};
  Status status_;
  std::thread server_, relay_;
};

inline void ExpectEcho(Mux& mux, std::string_view text) {
  auto stream = mux.Connect(kEchoPort, Soon());
  ASSERT_TRUE(stream) << stream.error().ToString();
  std::thread writer([&] {
    EXPECT_TRUE(WriteAll(stream->get(), text, Soon()));
    ::shutdown(stream->get(), SHUT_WR);
  });
  auto back = ReadToEnd(stream->get());
  writer.join();
  ASSERT_TRUE(back) << back.error().ToString();
  EXPECT_TRUE(*back == text) << back->size() << " bytes of " << text.size();
}

}  // namespace wrenn::wire
