#include "cli/snapshot_transfer.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <memory>

#include <CLI/App.hpp>

#include "base/encoding.h"
#include "base/io.h"
#include "cli/body_copy.h"
#include "cli/interruptible.h"
#include "cli/invocation.h"
#include "cli/local_file.h"
#include "cli/output.h"
#include "cli/spinner.h"
#include "cli/table.h"
#include "cli/terminal.h"

namespace wrenn::cli {
namespace {

// For what the server does before it sends and after it has got all: it reads and compares every
// byte.
constexpr std::chrono::minutes kCheckLimit{60};
struct Options {
  std::string name;
  std::string file;
  bool overwrite = false;
  bool json = false;
};

bool IsStream(const std::string& file) { return file == "-"; }

// Gives the answer's body to `sink`; how many bytes it was.
Result<uint64_t> Download(const Api& api, const std::string& name,
                          const std::function<Status(std::string_view)>& sink) {
  ASSIGN_OR_RETURN(const auto http, api.Connect());
  const std::string target = fmt::format("/v1/snapshots/{}/export", PercentEncode(name));
  {
    // It reads all before it answers.
    Spinner spinner("checking '" + name + "'");
    RETURN_IF_ERROR(http->Send(api.MakeHead("GET", target), {}, Deadline::After(kCheckLimit)));
  }
  if (auto error = api.ErrorOf(*http, StepDeadline())) return Fail(std::move(*error));
  Status written;
  const auto bytes = ReceiveBody(*http, "exporting " + name, [&](std::string_view data) {
    written = sink(data);
    return written;
  });
  if (bytes || !written) return bytes;
  return Fail(Error{bytes.error().code, "the server broke the export off: its log says why",
                    bytes.error().ToString()});
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
  ASSIGN_OR_RETURN(const auto http, SendBody(api, target, opened ? opened.get() : STDIN_FILENO,
                                             length, what, kCheckLimit));
  ASSIGN_OR_RETURN(const std::string body, http->body().ReadAll(1 << 20, StepDeadline()));
  ASSIGN_OR_RETURN(const json::value answer, ParseJson(body));
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
    invocation.run = [options] {
      return Interruptible([&](const Api& api) { return Export(api, *options); });
    };
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
    invocation.run = [options] {
      return Interruptible([&](const Api& api) { return Import(api, *options); });
    };
  });
}

}  // namespace wrenn::cli
