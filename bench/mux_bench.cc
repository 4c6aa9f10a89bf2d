// The mux over a socket pair, beside the bare socket pair in the same run: round trips and
// throughput. What it adds is the difference; over a real virtio-serial port the transport's own
// cost comes on top.
//
// Usage: mux_bench [ROUND_TRIPS [MEGABYTES]]
#include <sys/socket.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include "wire/mux.h"

namespace {

using wrenn::Deadline;
using wrenn::Result;
using wrenn::UniqueFd;
using Clock = std::chrono::steady_clock;

constexpr uint16_t kEcho = 1;
constexpr uint16_t kSink = 2;    // takes everything, then answers one byte
constexpr uint16_t kSource = 3;  // gives without end

template <typename T>
T Must(Result<T> result) {
  if (!result) {
    std::fprintf(stderr, "mux_bench: %s\n", result.error().ToString().c_str());
    std::exit(1);
  }
  return std::move(*result);
}

double Microseconds(Clock::duration time) {
  return std::chrono::duration<double, std::micro>(time).count();
}

size_t ReadOnce(int fd, std::vector<char>& buffer) {
  auto got = wrenn::ReadSome(fd, buffer, Deadline::Never());
  return got ? *got : 0;
}

void Serve(uint16_t port, UniqueFd fd) {
  std::vector<char> buffer(128 << 10, 's');
  if (port == kSource) {
    while (wrenn::WriteAll(fd.get(), {buffer.data(), buffer.size()}, Deadline::Never())) {
    }
    return;
  }
  while (const size_t got = ReadOnce(fd.get(), buffer)) {
    if (port == kEcho && !wrenn::WriteAll(fd.get(), {buffer.data(), got}, Deadline::Never()))
      return;
  }
  if (port == kSink) (void)wrenn::WriteAll(fd.get(), "!", Deadline::Never());
}

Result<UniqueFd> Accept(uint16_t port) {
  ASSIGN_OR_RETURN(auto pair, wrenn::SocketPair());
  std::thread(Serve, port, std::move(pair.second)).detach();
  return std::move(pair.first);
}

void PrintRoundTrips(const char* name, UniqueFd fd, int count, size_t size) {
  const std::string message(size, 'm');
  std::vector<char> buffer(size);
  std::vector<double> times;
  for (int i = 0; i < count; ++i) {
    const auto begin = Clock::now();
    if (!wrenn::WriteAll(fd.get(), message, Deadline::Never())) break;
    for (size_t have = 0; have < size;) have += ReadOnce(fd.get(), buffer);
    times.push_back(Microseconds(Clock::now() - begin));
  }
  std::sort(times.begin(), times.end());
  std::printf("%-12s round trip of %5zu bytes   p50 %7.1f us   p99 %7.1f us   n=%zu\n", name, size,
              times[times.size() / 2], times[times.size() * 99 / 100], times.size());
}

void PrintUpload(const char* name, UniqueFd fd, size_t megabytes) {
  const std::string chunk(1 << 20, 'u');
  std::vector<char> answer(1);
  const auto begin = Clock::now();
  for (size_t i = 0; i < megabytes; ++i) (void)wrenn::WriteAll(fd.get(), chunk, Deadline::Never());
  ::shutdown(fd.get(), SHUT_WR);
  ReadOnce(fd.get(), answer);
  std::printf("%-12s host to guest              %7.0f MB/s\n", name,
              static_cast<double>(megabytes << 20) / Microseconds(Clock::now() - begin));
}

void PrintDownload(const char* name, UniqueFd fd, size_t megabytes) {
  std::vector<char> buffer(128 << 10);
  const auto begin = Clock::now();
  for (size_t have = 0; have < megabytes << 20;) have += ReadOnce(fd.get(), buffer);
  std::printf("%-12s guest to host              %7.0f MB/s\n", name,
              static_cast<double>(megabytes << 20) / Microseconds(Clock::now() - begin));
}

template <typename Connect>
void Measure(const char* name, int round_trips, size_t megabytes, const Connect& connect) {
  PrintRoundTrips(name, Must(connect(kEcho)), round_trips, 64);
  PrintRoundTrips(name, Must(connect(kEcho)), round_trips, 16 << 10);
  PrintUpload(name, Must(connect(kSink)), megabytes);
  PrintDownload(name, Must(connect(kSource)), megabytes);
}

}  // namespace

int main(int argc, char** argv) {
  const int round_trips = argc > 1 ? std::max(1, std::atoi(argv[1])) : 20'000;
  const size_t megabytes = argc > 2 ? static_cast<size_t>(std::max(1, std::atoi(argv[2]))) : 512;

  Measure("socket pair", round_trips, megabytes, Accept);

  auto transport = Must(wrenn::SocketPair());
  const UniqueFd stop = Must(wrenn::MakeEventFd());
  std::thread guest([&] {
    wrenn::wire::MuxServerOptions options;
    options.accept = Accept;
    options.stop = stop.get();
    (void)wrenn::wire::ServeMux(transport.second.get(), options);
  });
  auto mux = Must(wrenn::wire::ConnectMux(std::move(transport.first), Deadline::Never()));
  Measure("mux", round_trips, megabytes,
          [&](uint16_t port) { return mux->Connect(port, Deadline::Never()); });

  std::vector<double> times;
  for (int i = 0; i < std::min(round_trips, 2000); ++i) {
    const auto begin = Clock::now();
    const UniqueFd stream = Must(mux->Connect(kEcho, Deadline::Never()));
    times.push_back(Microseconds(Clock::now() - begin));
  }
  std::sort(times.begin(), times.end());
  std::printf("%-12s new stream                 p50 %7.1f us   p99 %7.1f us   n=%zu\n", "mux",
              times[times.size() / 2], times[times.size() * 99 / 100], times.size());
  wrenn::SignalEventFd(stop.get());
  guest.join();
  return 0;
}
