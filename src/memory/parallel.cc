#include "memory/parallel.h"

#include <algorithm>
#include <system_error>
#include <thread>

namespace wrenn::memory {
namespace {

// Below this a thread's start costs more than it saves; beyond so many, memory is the limit.
constexpr uint64_t kBytesPerThread = 1 << 20;
constexpr uint64_t kMaxThreads = 4;

}  // namespace

Status InParallel(const Ranges& ranges,
                  const std::function<Status(const Ranges& part, uint64_t before)>& work) {
  const uint64_t processors = std::max(1U, std::thread::hardware_concurrency());
  const uint64_t wanted = std::clamp<uint64_t>(TotalLength(ranges) / kBytesPerThread, 1,
                                               std::min(processors, kMaxThreads));
  if (wanted == 1) return ranges.empty() ? Status() : work(ranges, 0);

  const std::vector<Ranges> parts = Split(ranges, wanted);
  std::vector<Status> results(parts.size());
  std::vector<std::thread> threads;
  uint64_t before = 0;
  for (size_t i = 0; i < parts.size(); ++i) {
    const auto run = [&, i, before] { results[i] = work(parts[i], before); };
    before += TotalLength(parts[i]);
    try {
      if (i + 1 < parts.size()) {
        threads.emplace_back(run);
        continue;
      }
    } catch (const std::system_error&) {
      // No thread to be had: then it is done here.
    }
    run();
  }
  for (std::thread& thread : threads) thread.join();
  for (Status& result : results) RETURN_IF_ERROR(result);
  return {};
}

}  // namespace wrenn::memory
