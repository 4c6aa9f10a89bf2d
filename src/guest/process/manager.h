// ProcessManager: the processes that were started for clients.
#pragma once

#include <list>
#include <memory>
#include <mutex>
#include <vector>

#include "base/gate.h"
#include "guest/process/process.h"

namespace wrenn::guest {

class ProcessManager {
 public:
  ProcessManager();
  ~ProcessManager() { Stop(); }

  Result<std::shared_ptr<Process>> Start(Process::Options options,
                                         std::shared_ptr<Subscription> first);

  // Those that run.
  std::vector<wire::ProcessInfo> List();

  // By pid or tag. kNotFound for one that has ended, unless `ended_too`: then those of the last 30
  // s are found as well, the running ones first.
  Result<std::shared_ptr<Process>> Find(const wire::ProcessSelector& selector, bool ended_too);

  // Kills all and waits for their threads.
  void Stop();

 private:
  void ForgetOld();

  UniqueFd stop_event_;
  Gate gate_;
  std::mutex mutex_;
  std::list<std::shared_ptr<Process>> processes_;
};

}  // namespace wrenn::guest
