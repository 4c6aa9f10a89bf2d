// DnsStream: one TCP connection of a guest to its name server: its questions, as they are, and what
// comes back.
#pragma once

#include <string>

#include "base/deadline.h"
#include "base/unique_fd.h"

namespace wrenn::net {

// Non-blocking: Step() moves what can be moved; then GuestEvents() and ServerEvents() say what to
// wait for (EPOLLIN, EPOLLOUT), 0 meaning that the end is not to be waited for at all.
class DnsStream {
 public:
  DnsStream(UniqueFd guest, UniqueFd server, Deadline end)
      : guest_(std::move(guest)), server_(std::move(server)), end_(end) {}

  // False when it is over, also when the guest says anything but questions.
  bool Step();
  unsigned GuestEvents() const { return Events(out_, back_); }
  unsigned ServerEvents() const { return Events(back_, out_); }

  int guest() const { return guest_.get(); }
  int server() const { return server_.get(); }
  Deadline end() const { return end_; }

 private:
  struct Way {
    std::string bytes;  // read and not yet written
    bool ended = false;
  };
  // Reads into `into`, unless there is still something to be written; passes an end on.
  static bool Receive(int from, int to, Way& way, std::string& into);
  static bool Send(int to, Way& way);
  bool TakeQuestions();
  static unsigned Events(const Way& from_here, const Way& to_here);

  UniqueFd guest_, server_;
  Deadline end_;
  Way out_, back_;
  std::string asked_;  // the beginning of the guest's next question
};

}  // namespace wrenn::net
