#include "vmm/kvm_device.h"

#include <fcntl.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include <cerrno>
#include <cstring>

#include "base/io.h"

namespace wrenn::vmm {
namespace {

constexpr size_t kPage = 4096;
constexpr uint16_t kProbePort = 0x10;

KvmVerdict No(const std::string& why) { return {false, why}; }
KvmVerdict NoErrno(const char* what) { return No(ErrnoError(what).message); }

// A mapping for the life of the object.
class Mapping {
 public:
  Mapping(size_t size, int flags, int fd)
      : size_(size), address_(::mmap(nullptr, size, PROT_READ | PROT_WRITE, flags, fd, 0)) {}
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  ~Mapping() {
    if (*this) ::munmap(address_, size_);
  }
  explicit operator bool() const { return address_ != MAP_FAILED; }
  void* get() const { return address_; }

 private:
  size_t size_;
  void* address_;
};

// Runs "add al, bl; out 0x10, al; hlt" in real mode and looks at what comes out.
KvmVerdict RunInstructions(int kvm, int vm) {
  constexpr unsigned char kProgram[] = {0x00, 0xd8, 0xe6, kProbePort, 0xf4};
  const Mapping memory(kPage, MAP_PRIVATE | MAP_ANONYMOUS, -1);
  if (!memory) return NoErrno("no memory for a probe");
  std::memcpy(memory.get(), kProgram, sizeof kProgram);
  kvm_userspace_memory_region region{};
  region.guest_phys_addr = kPage;
  region.memory_size = kPage;
  region.userspace_addr = reinterpret_cast<uint64_t>(memory.get());
  if (::ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region) < 0) return NoErrno("KVM refuses memory");
  const UniqueFd vcpu(::ioctl(vm, KVM_CREATE_VCPU, 0));
  if (!vcpu) return NoErrno("KVM makes no virtual processor");
  const int size = ::ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, nullptr);
  if (size < static_cast<int>(sizeof(kvm_run))) return NoErrno("KVM tells no run area");
  const Mapping area(static_cast<size_t>(size), MAP_SHARED, vcpu.get());
  if (!area) return NoErrno("KVM gives no run area");
  kvm_sregs segments{};
  if (::ioctl(vcpu.get(), KVM_GET_SREGS, &segments) < 0) return NoErrno("KVM tells no registers");
  segments.cs.base = 0;
  segments.cs.selector = 0;
  kvm_regs registers{};
  registers.rip = kPage;
  registers.rax = 2;
  registers.rbx = 3;
  registers.rflags = 2;
  if (::ioctl(vcpu.get(), KVM_SET_SREGS, &segments) < 0 ||
      ::ioctl(vcpu.get(), KVM_SET_REGS, &registers) < 0) {
    return NoErrno("KVM takes no registers");
  }
  if (::ioctl(vcpu.get(), KVM_RUN, 0) < 0) return NoErrno("KVM runs no instructions");
  const auto* run = static_cast<const kvm_run*>(area.get());
  const auto* data = static_cast<const unsigned char*>(area.get());
  if (run->exit_reason != KVM_EXIT_IO || run->io.port != kProbePort ||
      data[run->io.data_offset] != 5) {
    return No(
        fmt::format("KVM does not run instructions rightly (exit reason {})", run->exit_reason));
  }
  return {true, "KVM runs instructions"};
}

}  // namespace

KvmVerdict ProbeKvmDevice() {
  const UniqueFd kvm(::open("/dev/kvm", O_RDWR | O_CLOEXEC));
  if (!kvm && errno == ENOENT) {
    return No(
        "there is no /dev/kvm: enable virtualisation in the firmware (or nested virtualisation in "
        "the "
        "cloud) and load the kernel module kvm_intel or kvm_amd");
  }
  if (!kvm && errno == EACCES) {
    return No("/dev/kvm may not be opened: add this user to the group 'kvm'");
  }
  if (!kvm) return NoErrno("/dev/kvm cannot be opened");
  if (::ioctl(kvm.get(), KVM_GET_API_VERSION, 0) != KVM_API_VERSION) {
    return No("/dev/kvm is not KVM as we know it");
  }
  const UniqueFd vm(::ioctl(kvm.get(), KVM_CREATE_VM, 0));
  if (!vm) return NoErrno("KVM makes no machine");
  return RunInstructions(kvm.get(), vm.get());
}

std::string ProcessorModel() {
  const std::string text = ReadFile("/proc/cpuinfo").value_or("");
  const size_t begin = text.find("model name");
  if (begin == std::string::npos) return {};
  return text.substr(begin, text.find('\n', begin) - begin);
}

// QEMU's name for what it emulates with -cpu max, and with its older models.
bool IsEmulatedHost() {
  const std::string model = ProcessorModel();
  return model.find("QEMU TCG CPU") != std::string::npos ||
         model.find("QEMU Virtual CPU") != std::string::npos;
}

}  // namespace wrenn::vmm
