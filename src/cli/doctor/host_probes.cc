#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <charconv>
#include <filesystem>

#include "base/io.h"
#include "cli/doctor/probes.h"
#include "cli/table.h"
#include "os/files.h"
#include "os/process.h"

namespace wrenn::cli::doctor {
namespace {

constexpr uint64_t kMiB = 1 << 20;
constexpr uint64_t kLeastDisk = 1024 * kMiB;  // a base image, its build, and a sandbox
constexpr uint64_t kComfortableDisk = 10240 * kMiB;
constexpr uint64_t kLeastMemory = 256 * kMiB;  // one small sandbox and its VMM
constexpr uint64_t kComfortableMemory = 2048 * kMiB;

// The nearest folder above a path that exists: where the root will be made.
std::string ExistingAbove(const std::string& path) {
  std::filesystem::path folder = path;
  while (folder.has_relative_path() && !os::Exists(folder.string())) folder = folder.parent_path();
  return folder.string();
}

// Clones the blocks of a file without a name, which nobody has to remove.
Status TryReflink(const std::string& folder) {
  const UniqueFd from(::open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  const UniqueFd to(::open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  if (!from || !to) return Fail(ErrnoError("cannot write in '" + folder + "'"));
  RETURN_IF_ERROR(WriteAll(from.get(), std::string(64 << 10, 'w'), Deadline::Never()));
  if (::ioctl(to.get(), FICLONE, from.get()) < 0) {
    return Fail(ErrnoError("the file system of '" + folder + "' cannot share blocks"));
  }
  return {};
}

Check CheckReflink(const std::string& folder) {
  Check check("reflink");
  if (const Status tried = TryReflink(folder); tried) {
    check.finding = "files in '" + folder + "' can share blocks";
    check.consequence = "copies of disks and memory are immediate and take no room";
  } else {
    check.verdict = Verdict::kLimited;
    check.finding = tried.error().message;
    check.consequence = "disks are qcow2 overlays; full copies take time and room";
    check.remedy = "keep WRENN_ROOT on xfs or btrfs";
  }
  return check;
}

Check CheckDisk(const std::string& folder) {
  Check check("disk space");
  check.required = true;
  const auto free = os::FreeDiskBytes(folder);
  if (!free) {
    check.verdict = Verdict::kMissing;
    check.finding = free.error().message;
    return check;
  }
  check.finding = fmt::format("{} free in '{}'", FormatBytes(*free), folder);
  if (::access(folder.c_str(), W_OK) < 0) {
    check.verdict = Verdict::kMissing;
    check.finding = ErrnoError("cannot write in '" + folder + "'").message;
    check.consequence = "nothing can be kept there";
    check.remedy = "set WRENN_ROOT to a folder of yours";
  } else if (*free < kComfortableDisk) {
    check.verdict = *free < kLeastDisk ? Verdict::kMissing : Verdict::kLimited;
    check.consequence = "a template takes up to 1 GiB, and each sandbox what it writes";
    check.remedy = "make room, or set WRENN_ROOT to another disk";
  }
  return check;
}

Result<uint64_t> AvailableMemory() {
  ASSIGN_OR_RETURN(const std::string text, ReadFile("/proc/meminfo"));
  constexpr std::string_view kLabel = "MemAvailable:";
  const size_t label = text.find(kLabel);
  if (label == std::string::npos) return Fail(Code::kUnimplemented, "/proc/meminfo does not say");
  const size_t digits = text.find_first_not_of(' ', label + kLabel.size());
  uint64_t kib = 0;
  std::from_chars(text.data() + digits, text.data() + text.size(), kib);
  return kib * 1024;
}

Check CheckMemory() {
  Check check("memory");
  check.required = true;
  const auto available = AvailableMemory();
  if (!available) {
    check.verdict = Verdict::kLimited;
    check.finding = available.error().message;
    return check;
  }
  check.finding = FormatBytes(*available) + " available";
  if (*available < kComfortableMemory) {
    check.verdict = *available < kLeastMemory ? Verdict::kMissing : Verdict::kLimited;
    check.consequence = "few sandboxes fit: each takes up to its memory and some 20 MiB";
    check.remedy = "end other programs, or use small sandboxes (--memory 128)";
  }
  return check;
}

struct Tool {
  const char* program;
  const char* package;
};

Check CheckTools() {
  Check check("template tools");
  // busybox must be the static one: it runs in the guest with nothing around it.
  std::vector<Tool> tools = {{"mmdebstrap", "mmdebstrap"},
                             {"mke2fs", "e2fsprogs"},
                             {"busybox", "busybox-static"},
                             {"dpkg-deb", "dpkg"},
                             {"apt-get", "apt"}};
  // Who is not root makes Debian trees as the users of a namespace.
  if (::geteuid() != 0) {
    tools.push_back({"fakeroot", "fakeroot"});
    if (!os::FindProgram("fakechroot")) tools.push_back({"newuidmap", "uidmap"});
  }
  std::string found;
  std::string absent;
  std::string packages;
  for (const Tool& tool : tools) {
    const bool there = os::FindProgram(tool.program).has_value();
    std::string& list = there ? found : absent;
    list += (list.empty() ? "" : ", ") + std::string(tool.program);
    if (!there) packages += " " + std::string(tool.package);
  }
  check.finding = absent.empty() ? found + " are there" : absent + " not found";
  if (!absent.empty()) {
    check.verdict = Verdict::kLimited;
    check.consequence = "some templates cannot be built here; those that exist can be used";
    check.remedy = "apt install" + packages;
  }
  return check;
}

}  // namespace

std::vector<Check> ProbeHost(const os::Paths& paths) {
  const std::string folder = ExistingAbove(paths.root);
  return {CheckReflink(folder), CheckDisk(folder), CheckMemory(), CheckTools()};
}

}  // namespace wrenn::cli::doctor
