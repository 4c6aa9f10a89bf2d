// Process: one program that runs for a client, with its input, output and end.
#pragma once

#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "guest/init/cgroups.h"
#include "guest/init/reaper.h"
#include "guest/process/environment.h"
#include "guest/process/spawn.h"
#include "guest/process/subscription.h"
#include "wire/agent_api.h"

namespace wrenn::guest {

// Output is read by a thread of the process's own and given to all subscribers. When one of them
// does not take it the thread waits, and so does the program: a stalled reader stalls its process
// and nothing else. Without subscribers output is read and dropped, so that a program whose client
// has gone runs on. It ends when the program has exited and its output is read; if something it
// left behind still holds the output open, then kLinger after the exit.
class Process : public std::enable_shared_from_this<Process> {
 public:
  struct Options {
    wire::StartRequest request;
    User user;
    bool switch_user = true;  // false: runs as who we are, which must be `user`
    Environment environment;
    std::string cwd;
    Deadline deadline = Deadline::Never();  // then it and all it started is killed
  };

  // Starts the program. `first` is subscribed before it runs.
  static Result<std::shared_ptr<Process>> Start(Options options,
                                                std::shared_ptr<Subscription> first);

  // Use Start().
  explicit Process(Options options) : options_(std::move(options)) {}

  uint32_t pid() const { return static_cast<uint32_t>(child_->pid()); }
  const wire::StartRequest& request() const { return options_.request; }

  // Output from now on; or the end alone when it has ended.
  void Subscribe(std::shared_ptr<Subscription> subscription);

  // Writes all of it, after those that came before, waiting while the program does not read, until
  // it ends or `client_fd` hangs up; nothing when that has happened before its turn.
  Status Write(const wire::ProcessInput& input, int client_fd, Deadline deadline);
  Status CloseStdin();
  Status Resize(wire::PtySize size);

  // SIGKILL goes to all that the program started, other signals to its process group.
  Status Signal(wire::Signal signal);

  // When it ended; nothing while it runs.
  std::optional<Deadline::Clock::time_point> ended_at();

  // Reads output until the program has ended and nobody holds the output any more, or `stop` is
  // readable. The body of the process's thread.
  void Run(int stop);

 private:
  struct Output {
    UniqueFd fd;
    wire::ProcessOutput::Stream stream;
    std::string held;  // the begin of a UTF-8 sequence that the last full read cut
    int64_t owed = 0;  // bytes in the pipe when the program exited, still to be read
  };

  Status OpenTerminal(SpawnRequest& spawn, std::list<UniqueFd>& theirs);
  Status OpenPipes(SpawnRequest& spawn, std::list<UniqueFd>& theirs);
  Status StartProgram();

  void ReadUntilEnd(int stop);
  void DiscardRest(int stop);
  // Waits for output, the exit or `stop`; reads what there is. The time of the exit starts
  // `linger`.
  void ReadSomething(int stop, Deadline& linger);
  // Reads once; false when the output has ended.
  bool ReadOnce(Output& output, std::string& data) const;
  void Take(Output& output, std::string data);
  void NoteExit(Deadline& linger);
  bool NothingOwed() const;
  void Publish(wire::ProcessOutput::Stream stream, std::string data);
  void Kill();
  void KillIfLate();
  void End();
  std::shared_ptr<UniqueFd> input();
  Status TakeTurn(int client_fd, Deadline deadline) const;

  const Options options_;
  std::shared_ptr<Child> child_;
  std::shared_ptr<ProcessCgroup> cgroup_;
  std::list<Output> outputs_;  // the process's thread's own after the start
  bool exited_ = false;        // likewise, as all up to the mutex
  bool stopping_ = false;
  bool late_ = false;                      // its deadline has passed, and all was killed
  bool timed_out_ = false;                 // the program itself still ran then
  Deadline next_read_ = Deadline::At({});  // see kPace

  std::mutex mutex_;
  std::list<std::shared_ptr<Subscription>> subscriptions_;
  Subscription::Message end_;  // the last envelopes, once it has ended
  std::optional<Deadline::Clock::time_point> ended_at_;

  std::shared_ptr<UniqueFd> input_;  // stdin's write end, or the terminal

  // One writer at a time: an eventfd, readable while there is none and taken by reading it, so that
  // one can wait for it and for the client's hanging up together.
  UniqueFd turn_;
};

}  // namespace wrenn::guest
