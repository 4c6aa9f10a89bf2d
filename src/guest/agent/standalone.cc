#include "guest/agent/standalone.h"

#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <charconv>
#include <cstdio>
#include <optional>

#include "guest/agent/agent.h"
#include "wire/sockets.h"

namespace wrenn::guest {
namespace {

constexpr const char* kUsage = "usage: wrenn-init --agent --listen ADDRESS:PORT [--token TOKEN]\n";

struct Arguments {
  std::string address;
  uint16_t port = 0;
  std::string token;
};

std::optional<Arguments> Parse(int argc, char** argv) {
  Arguments arguments;
  for (int i = 1; i < argc; ++i) {
    const std::string_view name = argv[i];
    if (name == "--agent") continue;
    if (i + 1 == argc) return std::nullopt;
    const std::string_view value = argv[++i];
    if (name == "--token") {
      arguments.token = value;
      continue;
    }
    const size_t colon = value.rfind(':');
    if (name != "--listen" || colon == std::string_view::npos) return std::nullopt;
    arguments.address = value.substr(0, colon);
    const std::string_view port = value.substr(colon + 1);
    const auto [end, error] =
        std::from_chars(port.data(), port.data() + port.size(), arguments.port);
    if (error != std::errc() || end != port.data() + port.size()) return std::nullopt;
  }
  if (arguments.address.empty()) return std::nullopt;
  return arguments;
}

Status Serve(const Arguments& arguments) {
  // Before any thread is made, so that all have it.
  sigset_t signals;
  ::sigemptyset(&signals);
  ::sigaddset(&signals, SIGTERM);
  ::sigaddset(&signals, SIGINT);
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  // Orphans of what is started come to us, as to PID 1.
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);

  ASSIGN_OR_RETURN(UniqueFd listener, wire::ListenTcp(arguments.address, arguments.port));
  ASSIGN_OR_RETURN(const uint16_t port, wire::LocalPort(listener.get()));
  Agent::Options options;
  options.token = arguments.token;
  Agent agent(std::move(options));
  agent.Listen(std::move(listener));
  if (::geteuid() != 0) {
    std::fprintf(stderr, "wrenn-init: not root: processes run as '%s' only\n",
                 UserOf(::geteuid()).name.c_str());
  }
  std::printf("listening on %s:%u\n", arguments.address.c_str(), port);
  std::fflush(stdout);
  int signal = 0;
  ::sigwait(&signals, &signal);
  agent.Stop();
  return {};
}

}  // namespace

int RunStandaloneAgent(int argc, char** argv) {
  const auto arguments = Parse(argc, argv);
  if (!arguments) {
    std::fputs(kUsage, stderr);
    return 2;
  }
  auto served = Serve(*arguments);
  if (served) return 0;
  std::fprintf(stderr, "wrenn-init: %s\n", served.error().ToString().c_str());
  return 1;
}

}  // namespace wrenn::guest
