#include "api/handlers.h"
#include "api/router.h"

namespace wrenn::api {
namespace {

// What each does in full, and what it takes and answers, is in openapi.yaml; a test compares the
// two.
constexpr Route kRoutes[] = {
    {"GET", "/health", GetHealth, "Whether the server answers, its version and engine", true},
    {"GET", "/openapi.yaml", GetOpenApi, "The specification of this API", true},
    {"GET", "/docs", GetDocs, "This page", true},
    {"GET", "/test", GetConsole, "The test console", true},

    {"GET", "/v1/metrics", GetServerMetrics, "Counters and histograms, for Prometheus"},

    {"POST", "/v1/sandboxes", CreateSandbox, "Create a sandbox"},
    {"GET", "/v1/sandboxes", ListSandboxes, "List the sandboxes"},
    {"GET", "/v1/sandboxes/{id}", GetSandbox, "Show one sandbox"},
    {"DELETE", "/v1/sandboxes/{id}", DeleteSandbox, "End a sandbox and remove everything of it"},
    {"POST", "/v1/sandboxes/{id}/stop", StopSandbox, "End a sandbox, keep its record and console"},
    {"POST", "/v1/sandboxes/{id}/pause", PauseSandbox, "Freeze a sandbox with its memory"},
    {"POST", "/v1/sandboxes/{id}/resume", ResumeSandbox, "Let a paused sandbox go on"},
    {"POST", "/v1/sandboxes/{id}/fork", ForkSandbox, "Make sandboxes that go on from where it is"},
    {"POST", "/v1/sandboxes/{id}/ping", PingSandbox, "Reset the idle timer, or change it"},
    {"PATCH", "/v1/sandboxes/{id}/network", ChangeNetwork, "Change what a sandbox may reach"},
    {"GET", "/v1/sandboxes/{id}/logs", GetLogs, "What the guest wrote to its console"},
    {"GET", "/v1/sandboxes/{id}/events", GetEvents, "The sandbox's journal"},
    {"GET", "/v1/sandboxes/{id}/metrics", GetMetrics, "Processor, memory and disk in use"},

    {"POST", "/v1/sandboxes/{id}/exec", Exec, "Run a command, answer with its output"},
    {"GET", "/v1/sandboxes/{id}/exec/stream", ExecStream, "Run a command over a WebSocket"},
    {"GET", "/v1/sandboxes/{id}/pty", Pty, "A terminal over a WebSocket"},
    {"GET", "/v1/sandboxes/{id}/processes", ListProcesses, "List the running commands"},
    {"DELETE", "/v1/sandboxes/{id}/processes/{pid}", KillProcess, "Kill a command"},
    {"POST", "/v1/sandboxes/{id}/processes/{pid}/signal", SignalProcess, "Signal a command"},

    {"POST", "/v1/sandboxes/{id}/files/write", WriteFile, "Write a file of up to 32 MiB"},
    {"POST", "/v1/sandboxes/{id}/files/read", ReadFile, "Read a file of up to 32 MiB"},
    {"POST", "/v1/sandboxes/{id}/files/stream/write", WriteFileStream, "Write a file of any size"},
    {"POST", "/v1/sandboxes/{id}/files/stream/read", ReadFileStream, "Read a file of any size"},
    {"GET", "/v1/sandboxes/{id}/files/stream/read", GetFileStream, "Read a file of any size"},
    {"GET", "/v1/sandboxes/{id}/files/list", ListFiles, "List a folder"},
    {"GET", "/v1/sandboxes/{id}/files/stat", StatFile, "Describe a file or folder"},
    {"POST", "/v1/sandboxes/{id}/files/mkdir", MakeFolder, "Make a folder and those above it"},
    {"POST", "/v1/sandboxes/{id}/files/move", MoveFile, "Move or rename"},
    {"POST", "/v1/sandboxes/{id}/files/remove", RemoveFile,
     "Remove a file, or a folder with all in it"},

    {"GET", "/v1/templates", ListTemplates, "List the templates"},
    {"GET", "/v1/snapshots", ListSnapshots, "List the templates of one type"},
    {"POST", "/v1/snapshots", CreateSnapshot, "Make a template of a sandbox as it is now"},
    {"GET", "/v1/snapshots/{name}", GetSnapshot, "Show one template in full"},
    {"POST", "/v1/snapshots/{name}/verify", VerifySnapshot, "Check all files of a template"},
    {"DELETE", "/v1/snapshots/{name}", DeleteSnapshot, "Remove a template"},
    {"GET", "/v1/snapshots/{name}/export", ExportSnapshot, "A snapshot as one file"},
    {"POST", "/v1/snapshots/import", ImportSnapshot, "Make a snapshot of an exported file"},
};

}  // namespace

std::span<const Route> Routes() { return kRoutes; }

}  // namespace wrenn::api
