#include "template/ext4.h"

#include <sys/stat.h>

#include <filesystem>

#include "base/io.h"
#include "os/digest.h"
#include "os/files.h"
#include "template/sparse.h"
#include "template/tools.h"

namespace wrenn::template_ {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kBlock = 4096;
constexpr uint64_t kMiB = 1 << 20;
constexpr uint64_t kBytesPerInode = 8192;  // small files are what a working tree is made of
constexpr uint64_t kInodeBytes = 256;
// Superblocks, group descriptors with room to grow the file system, bitmaps.
constexpr uint64_t kFixedOverhead = 8 * kMiB;

// A UUID out of any text: version 8, "vendor specific" (RFC 9562).
std::string UuidOf(std::string_view text) {
  std::string hex = os::Sha256Hex(text).substr(0, 32);
  hex[12] = '8';
  hex[16] = '8';
  return fmt::format("{}-{}-{}-{}-{}", hex.substr(0, 8), hex.substr(8, 4), hex.substr(12, 4),
                     hex.substr(16, 4), hex.substr(20));
}

// Every path below a tree, by its name in the guest; links are not followed.
Status ForEachPath(
    const std::string& tree,
    const std::function<Status(const std::string& guest, const struct stat&)>& visit) {
  std::error_code error;
  fs::recursive_directory_iterator it(tree, error);
  for (; !error && it != fs::recursive_directory_iterator(); it.increment(error)) {
    const std::string path = it->path().native();
    struct stat info;
    if (::lstat(path.c_str(), &info) < 0) return Fail(ErrnoError("cannot read '" + path + "'"));
    RETURN_IF_ERROR(visit(path.substr(tree.size()), info));
  }
  if (error) return Fail(ErrnoError("cannot read '" + tree + "'", error.value()));
  return {};
}

uint64_t RoundUp(uint64_t value, uint64_t unit) { return (value + unit - 1) / unit * unit; }

}  // namespace

Result<TreeSize> MeasureTree(const std::string& tree) {
  TreeSize size;
  RETURN_IF_ERROR(ForEachPath(tree, [&](const std::string&, const struct stat& info) -> Status {
    ++size.inodes;
    if (S_ISREG(info.st_mode) || S_ISDIR(info.st_mode)) {
      size.bytes += RoundUp(static_cast<uint64_t>(info.st_size), kBlock);
    }
    return {};
  }));
  return size;
}

Status MakeExt4(const Workspace& workspace, const Ext4Request& request) {
  ASSIGN_OR_RETURN(const TreeSize used, MeasureTree(request.tree));
  // Data, 2 % for the maps of large files, and the file system's own.
  const uint64_t content = used.bytes + used.bytes / 50 + kFixedOverhead;
  const uint64_t whole = content + request.room_bytes;
  uint64_t size = request.size_bytes;
  if (size == 0) size = whole + whole / kBytesPerInode * kInodeBytes;
  size = RoundUp(size, kMiB);
  const uint64_t inodes = std::max(size / kBytesPerInode, used.inodes + used.inodes / 4 + 1024);
  if (size < content + inodes * kInodeBytes) {
    return Fail(Code::kInvalidArgument,
                "the disk of {} MB is too small: the template needs at least {} MB", size / kMiB,
                RoundUp(content + inodes * kInodeBytes, kMiB) / kMiB);
  }
  const std::string uuid = UuidOf(request.identity);
  std::vector<std::string> argv = request.wrapper;
  argv.insert(argv.end(), {"mke2fs",
                           "-q",
                           "-F",
                           "-t",
                           "ext4",
                           "-b",
                           std::to_string(kBlock),
                           "-I",
                           std::to_string(kInodeBytes),
                           "-N",
                           std::to_string(inodes),
                           "-m",
                           "0",
                           "-O",
                           "^has_journal",
                           "-E",
                           "root_owner=0:0,lazy_itable_init=0,hash_seed=" + uuid,
                           "-U",
                           uuid,
                           "-d",
                           request.tree,
                           request.image,
                           fmt::format("{}k", size / 1024)});
  auto made = RunTool(workspace, {.argv = argv});
  if (!made) return Fail(made.error().WithContext("cannot make the root file system"));
  return DigHoles(request.image);  // mke2fs wrote the empty tables as zeros
}

Status SetOwners(const Workspace& workspace, const std::string& image, const std::string& tree,
                 const std::function<Owner(const std::string&)>& owner_of) {
  std::string commands;
  const auto set = [&](const std::string& path) -> Status {
    if (path.find_first_of(" \t\n\"'<") != path.npos) {
      return Fail(Code::kInvalidArgument, "the path '{}' cannot be named to debugfs", path);
    }
    const Owner owner = owner_of(path);
    commands += fmt::format("sif {0} uid {1}\nsif {0} gid {2}\n", path, owner.uid, owner.gid);
    return {};
  };
  RETURN_IF_ERROR(set("/"));
  RETURN_IF_ERROR(
      ForEachPath(tree, [&](const std::string& path, const struct stat&) { return set(path); }));
  const std::string script = workspace.path() + "/owners";
  RETURN_IF_ERROR(WriteFileAtomically(script, commands));
  // debugfs says its version and then only what failed, and succeeds in any case.
  std::string complaint;
  auto done = RunTool(
      workspace,
      {.argv = {"debugfs", "-w", "-f", script, image}, .on_line = [&](std::string_view line) {
         if (line.starts_with("debugfs:") || line.starts_with("debugfs 1.")) {
           return;  // the version, or a command's echo
         }
         if (complaint.empty()) complaint = line;
       }});
  if (!done) return Fail(std::move(done.error()));
  if (!complaint.empty()) {
    return Fail(Code::kInternal, "cannot set owners in the root file system: {}", complaint);
  }
  return {};
}

}  // namespace wrenn::template_
