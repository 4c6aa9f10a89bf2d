#include "cli/transfer.h"

#include <chrono>
#include <cstring>
#include <thread>

#include "base/encoding.h"
#include "cli/body_copy.h"
#include "cli/guest_process.h"
#include "cli/tar_pack.h"
#include "cli/tar_unpack.h"

namespace wrenn::cli {
namespace {

// For the guest to put a file that has arrived into its place.
constexpr std::chrono::seconds kAnswerLimit{120};

std::string FileTarget(const std::string& sandbox, std::string_view what, const std::string& path,
                       const std::string& user) {
  std::string target =
      SandboxTarget(sandbox, fmt::format("/files/{}?path={}", what, PercentEncode(path)));
  if (!user.empty()) target += "&user=" + PercentEncode(user);
  return target;
}

}  // namespace

Result<std::optional<GuestEntry>> StatGuest(const Api& api, const std::string& sandbox,
                                            const std::string& path, const std::string& user) {
  const auto answer = api.Call("GET", FileTarget(sandbox, "stat", path, user));
  if (!answer && answer.error().code == Code::kNotFound) {
    RETURN_IF_ERROR(api.Call("GET", SandboxTarget(sandbox)));  // or was it the sandbox?
    return std::optional<GuestEntry>();
  }
  if (!answer) return Fail(answer.error());
  if (!answer->is_object()) return Fail(Code::kInternal, "the server's answer is no file");
  JsonReader reader(answer->get_object());
  const std::string type = reader.String("type");
  GuestEntry entry;
  entry.is_folder = type == "directory";
  entry.is_file = type == "file";
  entry.size = static_cast<uint64_t>(reader.Int("size", 0, 0, INT64_MAX));
  entry.mode = static_cast<unsigned>(reader.Int("mode", 0644, 0, 0xFFFFFFFF)) & 0777;
  RETURN_IF_ERROR(reader.Finish());
  return std::optional(entry);
}

Status UploadFile(const Api& api, const std::string& sandbox, int from,
                  std::optional<uint64_t> length, const std::string& path,
                  const std::string& user) {
  RETURN_IF_ERROR(SendBody(api, FileTarget(sandbox, "stream/write", path, user), from, length, path,
                           kAnswerLimit));
  return {};
}

Status DownloadFile(const Api& api, const std::string& sandbox, const std::string& path,
                    const std::string& user, const std::function<Status(std::string_view)>& sink) {
  ASSIGN_OR_RETURN(const auto http, api.Connect());
  RETURN_IF_ERROR(http->Send(api.MakeHead("GET", FileTarget(sandbox, "stream/read", path, user)),
                             {}, StepDeadline()));
  if (auto error = api.ErrorOf(*http, StepDeadline())) return Fail(std::move(*error));
  RETURN_IF_ERROR(ReceiveBody(*http, path, sink));
  return {};
}

namespace {

// What a helper program in the guest wrote to stderr, bounded, and how it ended.
class HelperEnd {
 public:
  void Take(const ProcessOutput& output) {
    if (output.kind == ProcessOutput::Kind::kStderr && errors_.size() < 4096)
      errors_ += output.data;
    if (output.kind == ProcessOutput::Kind::kExit) code_ = output.exit_code;
  }
  bool ended() const { return code_.has_value(); }
  Status Check(const std::string& path) const {
    if (code_ == 0) return {};
    std::string line = errors_.substr(0, errors_.find_last_not_of('\n') + 1);
    line = line.substr(line.rfind('\n') + 1);
    return Fail(Code::kInternal, "tar in the sandbox failed on '{}': {}", path,
                line.empty() ? fmt::format("exit code {}", code_.value_or(-1)) : line);
  }

 private:
  std::string errors_;
  std::optional<int> code_;
};

}  // namespace

Status UploadFolder(const Api& api, const std::string& sandbox, const std::string& folder,
                    const std::string& path, const std::string& user) {
  ProcessOptions options;
  options.command = {"/bin/sh", "-c", "mkdir -p -- \"$1\" && exec tar -xpf - -C \"$1\"", "sh",
                     path};
  options.user = user;
  options.stdin_open = true;
  ASSIGN_OR_RETURN(GuestProcess process, GuestProcess::Start(api, sandbox, options));
  HelperEnd end;
  Status lost;
  std::thread reader([&] {
    while (!end.ended() && lost) {
      if (auto output = process.Next()) {
        end.Take(*output);
      } else {
        lost = Fail(output.error());
      }
    }
  });
  TransferProgress progress(path, std::nullopt);
  Status sent = PackTar(folder, [&](std::string_view data) {
    progress.Add(data.size());
    return process.Write(data);
  });
  if (!sent) {
    // tar must not take what it has for the whole.
    [[maybe_unused]] const Status killed = process.Signal(wire::Signal::kKill);
  } else {
    sent = process.CloseStdin();
  }
  reader.join();
  RETURN_IF_ERROR(std::move(lost));
  RETURN_IF_ERROR(std::move(sent));
  return end.Check(path);
}

Status DownloadFolder(const Api& api, const std::string& sandbox, const std::string& path,
                      const std::string& folder, const std::string& user) {
  ProcessOptions options;
  options.command = {"tar", "-cf", "-", "-C", path, "."};
  options.user = user;
  ASSIGN_OR_RETURN(GuestProcess process, GuestProcess::Start(api, sandbox, options));
  HelperEnd end;
  std::string pending;
  size_t taken = 0;
  TransferProgress progress(path, std::nullopt);
  const TarSource source = [&](std::span<char> out) -> Result<size_t> {
    while (taken == pending.size() && !end.ended()) {
      ASSIGN_OR_RETURN(ProcessOutput output, process.Next());
      end.Take(output);
      if (output.kind != ProcessOutput::Kind::kStdout) continue;
      pending = std::move(output.data);
      taken = 0;
    }
    const size_t count = std::min(out.size(), pending.size() - taken);
    std::memcpy(out.data(), pending.data() + taken, count);
    taken += count;
    progress.Add(count);
    return count;
  };
  Status unpacked = UnpackTar(source, folder);
  // tar pads its archive, and what it says at its end counts: read to the end of it.
  std::string rest(kCopyBuffer, '\0');
  while (unpacked && !end.ended()) {
    const auto got = source(rest);
    if (!got) unpacked = Fail(got.error());
  }
  if (!unpacked) {
    if (!end.ended()) {
      [[maybe_unused]] const Status killed = process.Signal(wire::Signal::kKill);
    }
    // An archive that breaks off is tar's fault where tar says so.
    if (end.ended()) RETURN_IF_ERROR(end.Check(path));
    return unpacked;
  }
  return end.Check(path);
}

Status SetGuestMode(const Api& api, const std::string& sandbox, const std::string& path,
                    unsigned mode, const std::string& user) {
  json::object request = {{"cmd", "chmod"}, {"args", {fmt::format("{:o}", mode), path}}};
  if (!user.empty()) request["user"] = user;
  ASSIGN_OR_RETURN(const json::value answer,
                   api.Call("POST", SandboxTarget(sandbox, "/exec"), &request));
  if (!answer.is_object()) return Fail(Code::kInternal, "the server's answer is no result");
  JsonReader reader(answer.get_object());
  if (reader.Int("exit_code", -1, INT32_MIN, INT32_MAX) != 0) {
    return Fail(Code::kInternal, "cannot set the mode of '{}' in the sandbox: {}", path,
                reader.String("stderr"));
  }
  return {};
}

}  // namespace wrenn::cli
