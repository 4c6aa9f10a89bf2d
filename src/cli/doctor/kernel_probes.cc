#include <fcntl.h>
#include <linux/dm-ioctl.h>
#include <linux/magic.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cstring>

#include "base/id.h"
#include "base/io.h"
#include "cli/doctor/probes.h"

namespace wrenn::cli::doctor {
namespace {

// A request to device-mapper with room for its answer.
struct DmRequest {
  dm_ioctl head{};
  char data[16384]{};
};

Status DmCall(int control, unsigned long command, const std::string& name, DmRequest& request) {
  request = {};
  request.head.version[0] = DM_VERSION_MAJOR;
  request.head.data_size = sizeof request;
  request.head.data_start = sizeof request.head;
  std::strncpy(request.head.name, name.c_str(), DM_NAME_LEN - 1);
  if (::ioctl(control, command, &request) < 0) return Fail(ErrnoError("device-mapper refused"));
  return {};
}

bool HasTarget(const DmRequest& versions, std::string_view name) {
  size_t at = versions.head.data_start - sizeof versions.head;
  for (;;) {
    if (at + sizeof(dm_target_versions) >= sizeof versions.data) return false;
    const auto* target = reinterpret_cast<const dm_target_versions*>(versions.data + at);
    if (name == target->name) return true;
    if (target->next == 0) return false;
    at += target->next;
  }
}

// Makes a device without a table and removes it.
Result<std::string> TryDeviceMapper() {
  const UniqueFd control(::open("/dev/mapper/control", O_RDWR | O_CLOEXEC));
  if (!control) return Fail(ErrnoError("cannot open /dev/mapper/control"));
  const std::string name = "wrenn-doctor-" + RandomHex(8);
  DmRequest request;
  RETURN_IF_ERROR(DmCall(control.get(), DM_DEV_CREATE, name, request));
  RETURN_IF_ERROR(DmCall(control.get(), DM_DEV_REMOVE, name, request));
  RETURN_IF_ERROR(DmCall(control.get(), DM_LIST_VERSIONS, {}, request));
  if (!HasTarget(request, "snapshot")) {
    return Fail(Code::kUnimplemented, "a device was made, but there is no target 'snapshot'");
  }
  return std::string("a device was made; the target 'snapshot' is there");
}

Check CheckDeviceMapper() {
  Check check("device-mapper");
  if (const auto tried = TryDeviceMapper()) {
    check.finding = *tried;
    check.consequence = "disks can be copy-on-write block devices";
  } else {
    check.verdict = Verdict::kLimited;
    check.finding = tried.error().message;
    check.consequence = "disks are qcow2 files";
    check.remedy = "as root: modprobe dm-mod dm-snapshot";
  }
  return check;
}

Check CheckCgroup() {
  Check check("cgroup v2");
  if (const auto tried = TryCgroup()) {
    check.finding = *tried;
    check.consequence = "the host's share of each VMM can be limited";
  } else {
    check.verdict = Verdict::kLimited;
    check.finding = tried.error().message;
    check.consequence = "a VMM is limited by its own memory and vCPUs alone";
    check.remedy =
        "boot with systemd.unified_cgroup_hierarchy=1; as a user, let systemd delegate "
        "(systemd-run --user --scope -p Delegate=yes)";
  }
  return check;
}

Result<UniqueFd> OpenUserfaultfd() {
  UniqueFd device(::open("/dev/userfaultfd", O_RDWR | O_CLOEXEC));
  if (device) {
    UniqueFd fd(::ioctl(device.get(), USERFAULTFD_IOC_NEW, O_CLOEXEC | O_NONBLOCK));
    if (fd) return fd;
  }
  UniqueFd fd(static_cast<int>(::syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK)));
  if (!fd) return Fail(ErrnoError("cannot make a userfaultfd"));
  return fd;
}

// Fills a missing page through a userfaultfd and reads it back.
Status TryUserfaultfd() {
  ASSIGN_OR_RETURN(const UniqueFd fd, OpenUserfaultfd());
  uffdio_api api{};
  api.api = UFFD_API;
  if (::ioctl(fd.get(), UFFDIO_API, &api) < 0) return Fail(ErrnoError("the kernel's API differs"));
  const auto page = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
  void* memory = ::mmap(nullptr, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return Fail(ErrnoError("cannot map memory"));
  const std::string content(page, 'w');
  uffdio_register range{};
  range.range.start = reinterpret_cast<uint64_t>(memory);
  range.range.len = page;
  range.mode = UFFDIO_REGISTER_MODE_MISSING;
  uffdio_copy copy{};
  copy.dst = range.range.start;
  copy.src = reinterpret_cast<uint64_t>(content.data());
  copy.len = page;
  const bool filled =
      ::ioctl(fd.get(), UFFDIO_REGISTER, &range) == 0 && ::ioctl(fd.get(), UFFDIO_COPY, &copy) == 0;
  const Status status = !filled ? Status(Fail(ErrnoError("cannot fill a page")))
                        : std::memcmp(memory, content.data(), page) != 0
                            ? Status(Fail(Code::kDataLoss, "a page has the wrong content"))
                            : Status();
  ::munmap(memory, page);
  return status;
}

Check CheckUserfaultfd() {
  Check check("userfaultfd");
  if (const Status tried = TryUserfaultfd(); tried) {
    check.finding = "a page was served";
    check.consequence = "no part of wrenn uses it yet";
  } else {
    check.verdict = Verdict::kLimited;
    check.finding = tried.error().message;
    check.consequence = "nothing is lost: no part of wrenn uses it yet";
    check.remedy =
        "let wrenn's user open /dev/userfaultfd, or sysctl vm.unprivileged_userfaultfd=1";
  }
  return check;
}

// struct pm_scan_arg and PAGEMAP_SCAN of linux/fs.h since 6.7, which Debian 12's headers lack.
struct PagemapScan {
  uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
  uint64_t category_inverted, category_mask, category_anyof_mask, return_mask;
};
constexpr unsigned long kPagemapScan = _IOWR('f', 16, PagemapScan);
constexpr uint64_t kPageIsPresent = 1 << 3;

Status TryPagemapScan() {
  const UniqueFd pagemap(::open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC));
  if (!pagemap) return Fail(ErrnoError("cannot open /proc/self/pagemap"));
  const auto page = static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  struct Region {
    uint64_t start, end, categories;
  } region{};
  static char touched[1];
  touched[0] = 1;
  PagemapScan scan{};
  scan.size = sizeof scan;
  scan.start = reinterpret_cast<uint64_t>(touched) / page * page;
  scan.end = scan.start + page;
  scan.vec = reinterpret_cast<uint64_t>(&region);
  scan.vec_len = 1;
  scan.category_mask = kPageIsPresent;
  scan.return_mask = kPageIsPresent;
  const int regions = ::ioctl(pagemap.get(), kPagemapScan, &scan);
  if (regions < 0)
    return Fail(ErrnoError("the kernel does not know PAGEMAP_SCAN (6.7 and later do)"));
  if (regions != 1) return Fail(Code::kDataLoss, "PAGEMAP_SCAN did not find a page that is there");
  return {};
}

Check CheckPagemapScan() {
  Check check("pagemap scan");
  if (const Status tried = TryPagemapScan(); tried) {
    check.finding = "PAGEMAP_SCAN found a page";
    check.consequence = "the dirty memory of a sandbox is found quickly";
  } else {
    check.verdict = Verdict::kLimited;
    check.finding = tried.error().message;
    check.consequence = "the dirty memory of a sandbox is found by reading its whole page map";
    check.remedy = "a kernel of version 6.7 or later";
  }
  return check;
}

}  // namespace

Result<std::string> TryCgroup() {
  struct statfs info{};
  if (::statfs("/sys/fs/cgroup", &info) < 0) return Fail(ErrnoError("no /sys/fs/cgroup"));
  if (info.f_type != CGROUP2_SUPER_MAGIC) {
    return Fail(Code::kUnimplemented, "/sys/fs/cgroup is not cgroup version 2");
  }
  ASSIGN_OR_RETURN(const std::string own, ReadFile("/proc/self/cgroup"));
  const size_t at = own.find("0::");
  if (at == std::string::npos)
    return Fail(Code::kUnimplemented, "this process is in no cgroup of version 2");
  std::string path = own.substr(at + 3);
  path = "/sys/fs/cgroup" + path.substr(0, path.find('\n'));
  const std::string child = path + "/wrenn-doctor-" + RandomHex(8);
  if (::mkdir(child.c_str(), 0755) < 0) return Fail(ErrnoError("cannot make a cgroup"));
  if (::rmdir(child.c_str()) < 0) return Fail(ErrnoError("cannot remove a cgroup"));
  ASSIGN_OR_RETURN(std::string controllers, ReadFile(path + "/cgroup.controllers"));
  controllers.erase(controllers.find_last_not_of('\n') + 1);
  return "a cgroup was made; controllers: " + (controllers.empty() ? "none" : controllers);
}

std::vector<Check> ProbeKernel() {
  return {CheckDeviceMapper(), CheckCgroup(), CheckUserfaultfd(), CheckPagemapScan()};
}

}  // namespace wrenn::cli::doctor
