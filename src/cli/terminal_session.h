// A program on a terminal in a sandbox, with ours as its screen and keyboard.
#pragma once

#include <string>
#include <vector>

#include "cli/guest_process.h"

namespace wrenn::cli {

// Starts the program (a login shell when `options.command` is empty) on a terminal of our size.
// kFailedPrecondition when stdin is no terminal.
Result<GuestProcess> StartOnTerminal(const Api& api, const std::string& sandbox,
                                     ProcessOptions options);

// Passes every key to it, Ctrl-C too, and shows what it writes, until it ends; a change of size is
// passed on. Our terminal's mode is restored however it ends. Answers the exit code as a shell
// gives it.
Result<int> AttachTerminal(GuestProcess& process);

// Both, with the exit code of StartFailure() for a program that cannot be started.
Result<int> RunTerminal(const Api& api, const std::string& sandbox, ProcessOptions options);

}  // namespace wrenn::cli
