// The subcommands: each adds itself to the command line and, when named, fills the invocation in.
#pragma once

namespace CLI {
class App;
}

namespace wrenn::cli {

struct Invocation;

void AddServe(CLI::App& app, Invocation& invocation);
void AddRun(CLI::App& app, Invocation& invocation);
void AddCreate(CLI::App& app, Invocation& invocation);
void AddLs(CLI::App& app, Invocation& invocation);
void AddPs(CLI::App& app, Invocation& invocation);
void AddExec(CLI::App& app, Invocation& invocation);
void AddShell(CLI::App& app, Invocation& invocation);
void AddCp(CLI::App& app, Invocation& invocation);
void AddLogs(CLI::App& app, Invocation& invocation);
void AddPause(CLI::App& app, Invocation& invocation);
void AddResume(CLI::App& app, Invocation& invocation);
void AddFork(CLI::App& app, Invocation& invocation);
void AddNetwork(CLI::App& app, Invocation& invocation);
void AddStop(CLI::App& app, Invocation& invocation);
void AddRm(CLI::App& app, Invocation& invocation);
void AddTemplate(CLI::App& app, Invocation& invocation);
void AddSnapshot(CLI::App& app, Invocation& invocation);
void AddKey(CLI::App& app, Invocation& invocation);
void AddDoctor(CLI::App& app, Invocation& invocation);
void AddVersion(CLI::App& app, Invocation& invocation);
void AddCompletion(CLI::App& app, Invocation& invocation);

}  // namespace wrenn::cli
