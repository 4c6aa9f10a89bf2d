// For tests: the real agent as a process of its own, over TCP and over a mux, and a client of it.
#pragma once

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>

#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "agent/client.h"
#include "base/io.h"
#include "wire/mux.h"
#include "wire/sockets.h"
#include "wire/test_agent_program.h"

namespace wrenn::agent {

inline Deadline Soon() { return Deadline::After(std::chrono::seconds(60)); }

#ifdef WRENN_INIT_PROGRAM

// The agent behind a unix socket as QEMU's port would be.
class MuxedAgent {
 public:
  MuxedAgent(std::string path, uint16_t agent_port) : agent_port_(agent_port) {
    listener_ = wire::ListenUnix(path).value();
    stop_ = MakeEventFd().value();
    thread_ = std::thread([this] { Run(); });
  }
  ~MuxedAgent() {
    SignalEventFd(stop_.get());
    thread_.join();
  }

 private:
  void Run() {
    for (;;) {
      pollfd entries[2] = {{listener_.get(), POLLIN, 0}, {stop_.get(), POLLIN, 0}};
      ::poll(entries, 2, -1);
      if (entries[1].revents) return;
      const UniqueFd fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
      wire::MuxServerOptions options;
      options.accept = [&](uint16_t port) {
        return wire::ConnectTcp("127.0.0.1", port == wire::kAgentPort ? agent_port_ : port, Soon());
      };
      options.wait_for_peer = [] { return false; };
      options.stop = stop_.get();
      (void)wire::ServeMux(fd.get(), options);
    }
  }

  const uint16_t agent_port_;
  UniqueFd listener_, stop_;
  std::thread thread_;
};

class ClientTest : public testing::TestWithParam<const char*> {
 protected:
  ClientTest() : agent_("secret") {
    std::shared_ptr<Channel> channel;
    if (std::string_view(GetParam()) == "tcp") {
      channel = MakeTcpChannel("127.0.0.1", agent_.port());
    } else {
      interactive_ = std::make_unique<MuxedAgent>(folder_ / "i", agent_.port());
      bulk_ = std::make_unique<MuxedAgent>(folder_ / "b", agent_.port());
      channel = MakeMuxChannel(folder_ / "i", folder_ / "b");
    }
    client_.emplace(channel, "secret");
  }
  ~ClientTest() override { client_.reset(); }

  static wire::StartRequest Shell(const std::string& command) {
    wire::StartRequest request;
    request.process.cmd = "/bin/sh";
    request.process.args = {"-c", command};
    request.process.cwd = "/";
    return request;
  }

  struct Outcome {
    std::string out, err;
    std::optional<wire::ProcessEnded> ended;
    std::optional<Error> error;
  };
  static Outcome Collect(ProcessStream& stream) {
    Outcome outcome;
    for (;;) {
      auto event = stream.Next(Soon());
      if (!event) {
        outcome.error = event.error();
        return outcome;
      }
      if (!*event) return outcome;
      if (const auto* output = std::get_if<wire::ProcessOutput>(&**event)) {
        (output->stream == wire::ProcessOutput::Stream::kStderr ? outcome.err : outcome.out) +=
            output->data;
      }
      if (const auto* ended = std::get_if<wire::ProcessEnded>(&**event)) outcome.ended = *ended;
    }
  }
  Outcome Run(const wire::StartRequest& request, std::chrono::milliseconds timeout = {}) {
    auto started = client_->Start(request, {}, timeout, Soon());
    if (!started) return {{}, {}, {}, started.error()};
    return Collect(started->stream);
  }

  wire::TestFolder folder_;
  wire::AgentProgram agent_;
  std::unique_ptr<MuxedAgent> interactive_, bulk_;
  std::optional<Client> client_;
};

#endif

}  // namespace wrenn::agent
