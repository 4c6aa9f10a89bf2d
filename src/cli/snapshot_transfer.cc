#include "cli/snapshot_transfer.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <memory>

#include <CLI/App.hpp>

#include "base/encoding.h"
#include "base/io.h"
#include "cli/api.h"
#include "cli/invocation.h"
#include "cli/local_file.h"
#include "cli/output.h"
#include "cli/signals.h"
#include "cli/table.h"
#include "cli/terminal.h"
#include "cli/transfer.h"

namespace wrenn::cli {
namespace {

constexpr size_t kBufferSize = 256 << 10;
// For one step of a transfer: a side that takes or gives nothing for so long is gone.
constexpr std::chrono::seconds kStepLimit{120};
// For what the server does before it sends and after it has got all: it reads and compares every
// byte.
constexpr std::chrono::minutes kCheckLimit{60};
// What an interrupted transfer may take to end in order.
constexpr std::chrono::milliseconds kInterruptLimit{10'000};

struct Options {
  std::string name;
  std::string file;
  bool overwrite = false;
  bool json = false;
};

Deadline StepDeadline() { return Deadline::After(kStepLimit); }

bool IsStream(const std::string& file) { return file == "-"; }

// Gives the answer's body to `sink`; how many bytes it was.
Result<uint64_t> Download(const Api& api, const std::string& name,
                          const std::function<Status(std::string_view)>& sink) {
  ASSIGN_OR_RETURN(const auto http, api.Connect());
  const std::string target = fmt::format("/v1/snapshots/{}/export", PercentEncode(name));
  RETURN_IF_ERROR(http->Send(api.MakeHead("GET", target), {}, Deadline::After(kCheckLimit)));
  if (auto error = api.ErrorOf(*http, StepDeadline())) return Fail(std::move(*error));
  TransferProgress progress("exporting " + name, std::nullopt);
  std::string buffer(kBufferSize, '\0');
  for (uint64_t total = 0;;) {
    auto got = http->body().Read(buffer, StepDeadline());
    if (!got) {
      return Fail(Error{got.error().code, "the server broke the export off: its log says why",
                        got.error().ToString()});
    }
    if (*got == 0) return total;
    total += *got;
    RETURN_IF_ERROR(sink(std::string_view(buffer).substr(0, *got)));
    progress.Add(*got);
  }
}

Result<int> Export(const Api& api, const Options& options) {
  uint64_t bytes = 0;
  if (IsStream(options.file)) {
    if (IsTerminal(STDOUT_FILENO)) {
      return Fail(Code::kInvalidArgument, "a snapshot is nothing for a terminal: name a file");
    }
    ASSIGN_OR_RETURN(bytes, Download(api, options.name, [](std::string_view data) {
                       return WriteAll(STDOUT_FILENO, data, Deadline::Never());
                     }));
    return kSuccess;
  }
  // It holds the secret of the frozen agent.
  ASSIGN_OR_RETURN(LocalFile file, LocalFile::CreatePrivate(options.file));
  ASSIGN_OR_RETURN(
      bytes, Download(api, options.name, [&](std::string_view data) { return file.Write(data); }));
  RETURN_IF_ERROR(file.Sync());
  RETURN_IF_ERROR(file.Commit());
  if (options.json) {
    PrintJson(json::object{{"name", options.name}, {"file", options.file}, {"bytes", bytes}});
  } else {
    fmt::print("snapshot '{}' exported to '{}' ({})\n", options.name, options.file,
               FormatBytes(bytes));
  }
  return kSuccess;
}

// Sends all of a descriptor as the body of a request; the server's answer.
Result<json::value> Upload(const Api& api, const std::string& target, int from,
                           std::optional<uint64_t> length, const std::string& what) {
  ASSIGN_OR_RETURN(const auto http, api.Connect());
  wire::RequestHead head = api.MakeHead("POST", target);
  head.fields.Add("Content-Type", "application/octet-stream");
  ASSIGN_OR_RETURN(wire::BodyWriter writer,
                   http->StartRequest(std::move(head), length, StepDeadline()));
  auto progress = std::make_unique<TransferProgress>(what, length);
  std::string buffer(kBufferSize, '\0');
  uint64_t left = length.value_or(UINT64_MAX);
  Status sent;
  while (left > 0 && sent) {
    const size_t want = std::min<uint64_t>(buffer.size(), left);
    ASSIGN_OR_RETURN(const size_t got,
                     ReadSome(from, std::span(buffer).first(want), Deadline::Never()));
    if (got == 0 && length) {
      return Fail(Code::kAborted, "the file became shorter while it was sent");
    }
    if (got == 0) break;
    sent = writer.Write(std::string_view(buffer).substr(0, got), StepDeadline());
    left -= got;
    progress->Add(got);
  }
  if (sent) sent = writer.Finish(StepDeadline());
  progress.reset();
  // A server that refuses answers before it has read all: the answer says more than the broken
  // pipe.
  const Status answered = http->ReadHead(Deadline::After(kCheckLimit));
  if (!answered) return Fail(sent ? answered.error() : sent.error());
  if (auto error = api.ErrorOf(*http, StepDeadline())) return Fail(std::move(*error));
  if (!sent) return Fail(std::move(sent.error()));
  ASSIGN_OR_RETURN(const std::string answer, http->body().ReadAll(1 << 20, StepDeadline()));
  return ParseJson(answer);
}

Result<int> Import(const Api& api, const Options& options) {
  UniqueFd opened;
  std::optional<uint64_t> length;
  if (!IsStream(options.file)) {
    opened.Reset(::open(options.file.c_str(), O_RDONLY | O_CLOEXEC));
    struct stat info{};
    if (!opened || ::fstat(opened.get(), &info) < 0) {
      return Fail(ErrnoError("cannot read '" + options.file + "'"));
    }
    if (S_ISREG(info.st_mode)) length = static_cast<uint64_t>(info.st_size);
  }
  std::string target = fmt::format("/v1/snapshots/import?overwrite={}", options.overwrite);
  if (!options.name.empty()) target += "&name=" + PercentEncode(options.name);
  const std::string what = "importing " + (opened ? options.file : std::string("from stdin"));
  ASSIGN_OR_RETURN(const json::value answer,
                   Upload(api, target, opened ? opened.get() : STDIN_FILENO, length, what));
  if (options.json) {
    PrintJson(answer);
    return kSuccess;
  }
  if (!answer.is_object()) return Fail(Code::kInternal, "the server's answer is no template");
  JsonReader reader(answer.get_object());
  fmt::print("snapshot '{}' imported ({})\n", reader.String("name"),
             FormatBytes(static_cast<uint64_t>(reader.Int("size_bytes", 0, 0, INT64_MAX))));
  return kSuccess;
}

// A signal ends the connection, and with it the transfer: what is half-made is removed.
Result<int> Interruptible(const Options& options,
                          Result<int> (*transfer)(const Api&, const Options&)) {
  ASSIGN_OR_RETURN(Api api, Api::FromEnvironment());
  const auto interrupter = std::make_shared<Interrupter>();
  api.set_interrupter(interrupter);
  ASSIGN_OR_RETURN(SignalSource signals, SignalSource::Take({SIGINT, SIGTERM, SIGHUP, SIGQUIT}));
  ASSIGN_OR_RETURN(UniqueFd stop, MakeEventFd());
  const int stop_fd = stop.get();
  SignalWatch watch(signals, std::move(stop), [&] {
    interrupter->Interrupt();
    // It ends in order, unless it waits for our own stdin or stdout, or the user for nothing more.
    pollfd entries[2] = {{stop_fd, POLLIN, 0}, {signals.fd(), POLLIN, 0}};
    const int ready = ::poll(entries, 2, static_cast<int>(kInterruptLimit.count()));
    if (ready <= 0 || !entries[0].revents) ::_exit(kSignalBase + SIGINT);
  });
  Result<int> done = transfer(api, options);
  if (const int signal = watch.Finish(); signal != 0 && !done) return kSignalBase + signal;
  return done;
}

}  // namespace

void AddSnapshotTransfer(CLI::App& group, Invocation& invocation) {
  auto options = std::make_shared<Options>();
  auto* out = group.add_subcommand("export", "Write one to a file, to be used on another host");
  out->add_option("NAME", options->name, "The snapshot")->required();
  out->add_option("FILE", options->file, "The file; - is stdout")->required();
  out->add_flag("--json", options->json, "Print the result as JSON");
  out->footer(
      "The file is complete in itself: memory, disk, image and kernel. It is a tar stream with "
      "zstd,\n"
      "which holds the sandbox's memory and a secret of its agent: whoever has it has all that "
      "was\n"
      "in the sandbox.\n\n"
      "Examples:\n"
      "  wrenn snapshot export warm warm.tar.zst\n"
      "  wrenn snapshot export warm - | ssh other wrenn snapshot import -");
  out->callback([&invocation, options] {
    invocation.run = [options] { return Interruptible(*options, Export); };
  });

  auto* in = group.add_subcommand("import", "Make one of a file that 'export' wrote");
  in->add_option("FILE", options->file, "The file; - is stdin")->required();
  in->add_option("--name", options->name, "Its name here; else the one that is in the file")
      ->type_name("NAME");
  in->add_flag("--overwrite", options->overwrite, "Take the place of a snapshot of that name");
  in->add_flag("--json", options->json, "Print the result as JSON");
  in->footer(
      "Every byte is checked before the snapshot is there. Import only what you trust: QEMU loads "
      "the\n"
      "machine's state, and was not made for one that means harm.\n\n"
      "Example:\n"
      "  wrenn snapshot import warm.tar.zst --name warm-2");
  in->callback([&invocation, options] {
    invocation.run = [options] { return Interruptible(*options, Import); };
  });
}

}  // namespace wrenn::cli
