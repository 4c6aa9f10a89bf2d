// wrenn cp: files and folders to and from a sandbox.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <memory>

#include <CLI/App.hpp>

#include "cli/commands.h"
#include "cli/copy_path.h"
#include "cli/interruptible.h"
#include "cli/invocation.h"
#include "cli/local_file.h"
#include "cli/sandbox_view.h"
#include "cli/tar_unpack.h"
#include "cli/transfer.h"
#include "os/files.h"

namespace wrenn::cli {
namespace {

namespace fs = std::filesystem;

struct Options {
  std::string source;
  std::string target;
  std::string user;
};

struct Copy {
  const Api& api;
  std::string sandbox;
  std::string user;
};

Result<struct stat> StatLocal(const std::string& path) {
  struct stat info{};
  if (::stat(path.c_str(), &info) < 0) return Fail(ErrnoError("cannot read '" + path + "'"));
  return info;
}

Result<std::string> NameOf(const std::string& path) {
  std::string name = BaseName(path);
  if (name.empty())
    return Fail(Code::kInvalidArgument, "'{}' has no name to take into a folder", path);
  return name;
}

// Whether a path says "what is in the folder", as "dir/." does.
bool MeansContent(const std::string& path) {
  return path == "." || path == ".." || path.ends_with("/.") || path.ends_with("/..");
}

// Where a copy of `source` goes: into `target` when that is a folder, else to it.
Result<std::string> Destination(const std::string& source, const std::string& target,
                                bool target_is_folder) {
  if (!target_is_folder || MeansContent(source)) return target;
  ASSIGN_OR_RETURN(const std::string name, NameOf(source));
  return JoinPath(target, name);
}

Status UploadLocalFile(const Copy& copy, const std::string& source, const std::string& target) {
  const UniqueFd file(::open(source.c_str(), O_RDONLY | O_CLOEXEC));
  struct stat info{};
  if (!file || ::fstat(file.get(), &info) < 0)
    return Fail(ErrnoError("cannot read '" + source + "'"));
  std::optional<uint64_t> length;
  if (S_ISREG(info.st_mode)) length = static_cast<uint64_t>(info.st_size);
  RETURN_IF_ERROR(UploadFile(copy.api, copy.sandbox, file.get(), length, target, copy.user));
  const bool runs = S_ISREG(info.st_mode) && (info.st_mode & 0111);
  if (runs) return SetGuestMode(copy.api, copy.sandbox, target, info.st_mode & 0777, copy.user);
  return {};
}

Status CopyUp(const Copy& copy, const CopyPath& source, const std::string& target) {
  ASSIGN_OR_RETURN(const auto there, StatGuest(copy.api, copy.sandbox, target, copy.user));
  const bool into = there && there->is_folder;
  if (source.is_stream()) {
    if (into) return Fail(Code::kInvalidArgument, "'{}' is a folder: name the file", target);
    return UploadFile(copy.api, copy.sandbox, STDIN_FILENO, std::nullopt, target, copy.user);
  }
  ASSIGN_OR_RETURN(const struct stat info, StatLocal(source.path));
  if (!into && !S_ISDIR(info.st_mode) && target.ends_with('/')) {
    return Fail(Code::kNotFound, "there is no folder '{}' in the sandbox", target);
  }
  ASSIGN_OR_RETURN(const std::string place, Destination(source.path, target, into));
  if (S_ISDIR(info.st_mode)) {
    return UploadFolder(copy.api, copy.sandbox, source.path, place, copy.user);
  }
  return UploadLocalFile(copy, source.path, place);
}

// A folder's copy is unpacked beside its place and then takes it in one step; where a folder is
// already, inside of that (which may be a file system of its own), and then file by file.
Status DownloadToFolder(const Copy& copy, const std::string& source, const std::string& place) {
  fs::path target = fs::path(place).lexically_normal();
  if (!target.has_filename()) target = target.parent_path();
  struct stat info{};
  const bool exists = ::stat(target.c_str(), &info) == 0;
  if (exists && !S_ISDIR(info.st_mode)) {
    return Fail(Code::kInvalidArgument, "'{}' is in the way: it is no folder", place);
  }
  const fs::path around = exists ? target : target.parent_path();
  ASSIGN_OR_RETURN(
      os::TemporaryDirectory temporary,
      os::TemporaryDirectory::Make(around.empty() ? "." : around.string(), ".wrenn-cp"));
  RETURN_IF_ERROR(DownloadFolder(copy.api, copy.sandbox, source, temporary.path(), copy.user));
  if (exists) return MoveInto(temporary.path(), target.string());
  if (::rename(temporary.path().c_str(), target.c_str()) < 0) {
    return Fail(ErrnoError("cannot make '" + place + "'"));
  }
  temporary.Release();
  return {};
}

Status CopyDown(const Copy& copy, const std::string& source, const CopyPath& target) {
  ASSIGN_OR_RETURN(const auto there, StatGuest(copy.api, copy.sandbox, source, copy.user));
  if (!there) return Fail(Code::kNotFound, "there is no '{}' in the sandbox", source);
  if (target.is_stream()) {
    if (there->is_folder)
      return Fail(Code::kInvalidArgument, "'{}' is a folder, which is no stream", source);
    return DownloadFile(copy.api, copy.sandbox, source, copy.user, [](std::string_view data) {
      return WriteAll(STDOUT_FILENO, data, Deadline::Never());
    });
  }
  struct stat info{};
  const bool into = ::stat(target.path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
  ASSIGN_OR_RETURN(const std::string place, Destination(source, target.path, into));
  if (there->is_folder) return DownloadToFolder(copy, source, place);
  ASSIGN_OR_RETURN(LocalFile file, LocalFile::Create(place, 0666 | (there->mode & 0111)));
  RETURN_IF_ERROR(DownloadFile(copy.api, copy.sandbox, source, copy.user,
                               [&](std::string_view data) { return file.Write(data); }));
  return file.Commit();
}

Result<int> CopyOver(const Api& api, const Options& options, const CopyPath& source,
                     const CopyPath& target) {
  Copy copy{api, {}, options.user};
  ASSIGN_OR_RETURN(copy.sandbox,
                   ResolveId(api, source.is_local() ? target.sandbox : source.sandbox));
  RETURN_IF_ERROR(source.is_local() ? CopyUp(copy, source, target.path)
                                    : CopyDown(copy, source.path, target));
  return kSuccess;
}

Result<int> Cp(const Options& options) {
  ASSIGN_OR_RETURN(const CopyPath source, ParseCopyPath(options.source));
  ASSIGN_OR_RETURN(const CopyPath target, ParseCopyPath(options.target));
  if (source.is_local() == target.is_local()) {
    return Fail(Code::kInvalidArgument, "{}",
                source.is_local() ? "neither is in a sandbox: one must be ID:PATH"
                                  : "both are in sandboxes: copy through a local file or a pipe");
  }
  return Interruptible([&](const Api& api) { return CopyOver(api, options, source, target); });
}

}  // namespace

void AddCp(CLI::App& app, Invocation& invocation) {
  auto* command = app.add_subcommand("cp", "Copy files and folders to or from a sandbox");
  auto options = std::make_shared<Options>();
  command->add_option("SOURCE", options->source, "A local path, ID:PATH, or - for stdin")
      ->required();
  command->add_option("TARGET", options->target, "The same; - is stdout")->required();
  command->add_option("-u,--user", options->user, "User in the sandbox; else the template's")
      ->type_name("USER");
  command->footer(
      "As with cp -r: into TARGET when that is a folder, else it becomes TARGET; DIR/. is what is "
      "in DIR.\n"
      "Paths in a sandbox are absolute, or below the user's home. Modes and links are kept, owners "
      "not.\n"
      "A file arrives whole or not at all. Folders go through 'tar' in the sandbox; what it sends "
      "cannot\n"
      "leave the local target folder.\n\n"
      "Examples:\n"
      "  wrenn cp data.csv sb-4k2:\n"
      "  wrenn cp src sb-4k2:/srv/src\n"
      "  wrenn cp sb-4k2:/srv/result ./result\n"
      "  wrenn cp sb-4k2:big.bin - | sha256sum");
  command->callback(
      [&invocation, options] { invocation.run = [options] { return Cp(*options); }; });
}

}  // namespace wrenn::cli
