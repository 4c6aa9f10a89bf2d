#include "cli/for_each_sandbox.h"

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <mutex>
#include <thread>

#include "cli/spinner.h"
#include "cli/terminal.h"

namespace wrenn::cli {

size_t ForEachSandbox(const std::vector<std::string>& ids, const std::string& doing,
                      const std::function<Status(const std::string&)>& act, bool quiet) {
  constexpr size_t kAtOnce = 8;
  std::atomic<size_t> next = 0;
  std::atomic<size_t> failed = 0;
  std::mutex printing;
  Spinner spinner(doing);
  const auto work = [&] {
    for (size_t i = next++; i < ids.size(); i = next++) {
      const Status done = act(ids[i]);
      std::lock_guard lock(printing);
      spinner.Clear();
      if (done) {
        if (!quiet) fmt::print("{}\n", ids[i]);
        std::fflush(stdout);
      } else {
        ++failed;
        PrintError(done.error());
      }
    }
  };
  std::vector<std::thread> threads;
  for (size_t i = 1; i < std::min(ids.size(), kAtOnce); ++i) threads.emplace_back(work);
  work();
  for (std::thread& thread : threads) thread.join();
  return failed;
}

size_t StopSandboxes(const Api& api, const std::vector<std::string>& ids) {
  return ForEachSandbox(ids, "stopping", [&](const std::string& id) -> Status {
    const json::object nothing;
    RETURN_IF_ERROR(api.Call("POST", SandboxTarget(id, "/stop"), &nothing));
    return {};
  });
}

}  // namespace wrenn::cli
