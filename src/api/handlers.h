// The handlers of all routes, by resource; each is one translation between HTTP and the parts
// below.
#pragma once

#include "api/context.h"

namespace wrenn::api {

// meta.cc
Status GetHealth(Context& context);
Status GetOpenApi(Context& context);
Status GetDocs(Context& context);
Status GetConsole(Context& context);

// server_metrics.cc
Status GetServerMetrics(Context& context);

// sandboxes.cc
Status CreateSandbox(Context& context);
Status ListSandboxes(Context& context);
Status GetSandbox(Context& context);
Status DeleteSandbox(Context& context);
Status StopSandbox(Context& context);
Status PauseSandbox(Context& context);
Status ResumeSandbox(Context& context);
Status ForkSandbox(Context& context);
Status PingSandbox(Context& context);
Status ChangeNetwork(Context& context);
Status GetLogs(Context& context);
Status GetEvents(Context& context);
Status GetMetrics(Context& context);

// exec.cc
Status Exec(Context& context);

// exec_stream.cc, pty.cc
Status ExecStream(Context& context);
Status Pty(Context& context);

// processes.cc
Status ListProcesses(Context& context);
Status KillProcess(Context& context);
Status SignalProcess(Context& context);

// files.cc
Status ListFiles(Context& context);
Status StatFile(Context& context);
Status MakeFolder(Context& context);
Status MoveFile(Context& context);
Status RemoveFile(Context& context);

// uploads.cc, downloads.cc
Status WriteFile(Context& context);
Status WriteFileStream(Context& context);
Status ReadFile(Context& context);
Status ReadFileStream(Context& context);
Status GetFileStream(Context& context);

// templates.cc
Status ListTemplates(Context& context);
Status ListSnapshots(Context& context);
Status CreateSnapshot(Context& context);
Status GetSnapshot(Context& context);
Status VerifySnapshot(Context& context);
Status DeleteSnapshot(Context& context);

// snapshot_transfer.cc
Status ExportSnapshot(Context& context);
Status ImportSnapshot(Context& context);

}  // namespace wrenn::api
