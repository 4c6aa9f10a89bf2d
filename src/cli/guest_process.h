// GuestProcess: a program in a sandbox, over the API's WebSocket.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "api/websocket.h"
#include "cli/api.h"
#include "wire/agent_api.h"

namespace wrenn::cli {

struct ProcessOptions {
  std::vector<std::string>
      command;  // the program and its arguments; empty with a terminal: a shell
  json::object envs;
  std::string cwd;                        // empty: the user's home
  std::string user;                       // empty: the template's
  int64_t timeout_sec = 0;                // 0: no limit
  bool stdin_open = false;                // else /dev/null
  std::optional<wire::PtySize> terminal;  // runs on a terminal of this size
};

// What comes from the program.
struct ProcessOutput {
  enum class Kind { kStdout, kStderr, kExit };  // a terminal's bytes are kStdout
  Kind kind = Kind::kStdout;
  std::string data;
  int exit_code = 0;   // for kExit: the program's, or 128 + n when signal n ended it
  std::string status;  // for kExit: "exit status 3", "signal: killed", "timed out"
};

// One thread reads with Next() while others write.
class GuestProcess {
 public:
  // Returns when the program runs. kNotFound: no such sandbox; kInvalidArgument: it cannot be
  // started.
  static Result<GuestProcess> Start(const Api& api, const std::string& sandbox,
                                    const ProcessOptions& options);

  // The next output, in order; nothing follows kExit. kUnavailable when the sandbox or server is
  // lost.
  Result<ProcessOutput> Next();

  // To its stdin or terminal. Waits as long as the program takes nothing. What a program that has
  // ended does not take is dropped.
  Status Write(std::string_view data);
  Status CloseStdin();  // not for terminals
  Status Resize(wire::PtySize size);

  // By a way of its own, so that it arrives though input waits. Harmless when the program has
  // ended. `interrupter`, if any, can break it off.
  Status Signal(wire::Signal signal, std::shared_ptr<Interrupter> interrupter = nullptr) const;

  uint32_t pid() const { return pid_; }

  // Breaks the connection, so that threads in Write() or Next() return. The program goes on.
  void Abandon() { stream_->Shutdown(); }

 private:
  GuestProcess(const Api& api, std::string sandbox) : api_(api), sandbox_(std::move(sandbox)) {
    // A signal goes to a server that has answered just now.
    api_.set_connect_limit(std::chrono::seconds(3));
  }
  Result<std::optional<ProcessOutput>> Decode(const api::WebSocketMessage& message);

  Api api_;
  std::string sandbox_;
  uint32_t pid_ = 0;
  std::unique_ptr<wire::ByteStream> stream_;
  std::unique_ptr<api::WebSocket> socket_;
};

// The exit code that a shell would give: 128 + n for "signal: NAME" of signal n.
int ShellExitCode(int exit_code, std::string_view status);

}  // namespace wrenn::cli
