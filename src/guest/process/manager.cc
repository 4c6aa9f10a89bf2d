#include "guest/process/manager.h"

#include <system_error>

#include "base/thread_cache.h"

namespace wrenn::guest {
namespace {

constexpr std::chrono::seconds kKeepEnded{30};
// A client that starts many short processes must not fill the memory with their exit codes.
constexpr size_t kMaxProcesses = 8192;

// What a process's thread keeps alive.
struct Held {
  Gate::Pass pass;
  std::shared_ptr<Process> process;
};

bool Matches(const Process& process, const wire::ProcessSelector& selector) {
  if (const auto* pid = std::get_if<uint32_t>(&selector)) return process.pid() == *pid;
  return process.request().tag == std::get<std::string>(selector);
}

tl::unexpected<Error> NotFound(const wire::ProcessSelector& selector) {
  if (const auto* pid = std::get_if<uint32_t>(&selector)) {
    return Fail(Code::kNotFound, "process with pid {} not found", *pid);
  }
  return Fail(Code::kNotFound, "process with tag '{}' not found", std::get<std::string>(selector));
}

}  // namespace

ProcessManager::ProcessManager() {
  auto event = MakeEventFd();
  if (event) stop_event_ = std::move(*event);
}

Result<std::shared_ptr<Process>> ProcessManager::Start(Process::Options options,
                                                       std::shared_ptr<Subscription> first) {
  Gate::Pass pass = gate_.Enter();
  if (!pass) return Fail(Code::kUnavailable, "the sandbox is shutting down");
  {
    std::lock_guard lock(mutex_);
    ForgetOld();
    if (processes_.size() >= kMaxProcesses) {
      return Fail(Code::kResourceExhausted, "more than {} processes", kMaxProcesses);
    }
  }
  ASSIGN_OR_RETURN(auto process, Process::Start(std::move(options), std::move(first)));
  {
    std::lock_guard lock(mutex_);
    processes_.push_back(process);
  }
  try {
    ThreadCache::Get().Run(
        [held = std::make_shared<Held>(Held{std::move(pass), process}), stop = stop_event_.get()] {
          held->process->Run(stop);
          held->process.reset();
          held->pass = Gate::Pass();
        });
  } catch (const std::system_error& error) {
    // Without its thread nobody would read its output or tell its end.
    [[maybe_unused]] auto killed = process->Signal(wire::Signal::kKill);
    std::lock_guard lock(mutex_);
    processes_.remove(process);
    return Fail(Code::kResourceExhausted, "too many threads: {}", error.what());
  }
  return process;
}

std::vector<wire::ProcessInfo> ProcessManager::List() {
  std::lock_guard lock(mutex_);
  ForgetOld();
  std::vector<wire::ProcessInfo> list;
  for (const auto& process : processes_) {
    if (process->ended_at()) continue;
    const wire::StartRequest& request = process->request();
    list.push_back({request.process, process->pid(), request.tag});
  }
  return list;
}

Result<std::shared_ptr<Process>> ProcessManager::Find(const wire::ProcessSelector& selector,
                                                      bool ended_too) {
  std::lock_guard lock(mutex_);
  ForgetOld();
  std::shared_ptr<Process> ended;
  for (const auto& process : processes_) {
    if (!Matches(*process, selector)) continue;
    if (!process->ended_at()) return process;
    ended = process;  // of several the latest
  }
  if (ended && ended_too) return ended;
  return NotFound(selector);
}

void ProcessManager::ForgetOld() {
  const auto now = Deadline::Clock::now();
  processes_.remove_if([&](const std::shared_ptr<Process>& process) {
    const auto ended = process->ended_at();
    return ended && now - *ended > kKeepEnded;
  });
}

void ProcessManager::Stop() {
  gate_.Close();
  SignalEventFd(stop_event_.get());
  gate_.WaitEmpty(Deadline::Never());
}

}  // namespace wrenn::guest
