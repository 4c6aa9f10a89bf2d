// The agent as an ordinary program on TCP: for tests, benchmarks and debugging.
#pragma once

namespace wrenn::guest {

// `wrenn-init --agent --listen ADDRESS:PORT [--token TOKEN]`. Prints "listening on ADDRESS:PORT"
// and serves until SIGTERM or SIGINT. Answers the program's exit code.
int RunStandaloneAgent(int argc, char** argv);

}  // namespace wrenn::guest
