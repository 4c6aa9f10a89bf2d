// DnsForwarder: the name server that guests see. It passes their questions on to the host's own
// name servers, which may be on the host's loopback or in its private network, where guests reach
// nothing; so it also is the one thing of ours that listens to guests.
#pragma once

#include <netinet/in.h>

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "base/result.h"
#include "net/dns_stream.h"
#include "net/resolvers.h"
#include "os/net_namespace.h"

namespace wrenn::net {

// One thread for all slots. Nothing is kept of answers, and nothing of one slot is seen by another.
// Bounded: a guest may have so many questions and connections open, and all together so many; what
// is beyond that is dropped, as a network would. Thread-safe.
class DnsForwarder {
 public:
  static constexpr int kQuestionsOfOne = 64;
  static constexpr int kQuestionsOfAll = 2048;
  static constexpr int kStreamsOfOne = 8;
  static constexpr int kStreamsOfAll = 256;

  // `resolv_conf` names the host's name servers (/etc/resolv.conf). Their sockets are in the
  // network namespace of the calling thread.
  static Result<std::unique_ptr<DnsForwarder>> Start(std::string resolv_conf);
  ~DnsForwarder();

  // Answers questions to kSlotGateway in this namespace, UDP and TCP. An error when it does.
  Status Add(int slot, const os::NetNamespace& net_namespace);
  // Ends that; the answers to open questions are lost. Harmless when it does not.
  void Remove(int slot);

 private:
  struct Guest {
    UniqueFd udp, tcp;
    int questions = 0;
    int streams = 0;
  };
  struct Question {
    int slot;
    sockaddr_in client;
    uint16_t id;          // the guest's
    std::string message;  // with our id
    size_t first;         // of the name servers that is asked
    size_t tries;         // how many were asked
    UniqueFd socket;
    Deadline again = Deadline::Never();  // when to ask the next one
  };
  struct Stream {
    int slot;
    DnsStream relay;
    unsigned guest_events = 0;  // what is waited for
    unsigned server_events = 0;
  };

  DnsForwarder(std::string resolv_conf, UniqueFd epoll, UniqueFd stop);
  void Run();
  void Handle(uint64_t token);
  void TakeQuestions(int slot);
  void TakeStream(int slot);
  void Ask(uint64_t number);
  void TakeAnswer(uint64_t number);
  void Answer(const Question& question, std::string message);
  void Step(uint64_t number);
  void EndQuestion(uint64_t number);
  void EndStream(uint64_t number);
  void LookAtTheClock();
  bool Watch(int fd, unsigned events, uint64_t token) const;

  std::mutex mutex_;
  Resolvers resolvers_;
  size_t first_resolver_ = 0;  // moves on from one that does not answer
  std::map<int, Guest> guests_;
  std::map<uint64_t, Question> questions_;
  std::map<uint64_t, Stream> streams_;
  uint64_t next_number_ = 0;
  UniqueFd epoll_, stop_;
  std::thread thread_;
};

}  // namespace wrenn::net
