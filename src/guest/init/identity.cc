#include "guest/init/identity.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/random.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <ctime>
#include <vector>

#include "base/io.h"
#include "guest/split.h"

namespace wrenn::guest {
namespace {

constexpr std::string_view kMark = "# this sandbox";
constexpr size_t kMaxHostname = 64;

bool IsAlnum(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool IsAddress(const std::string& text) {
  in6_addr address;
  return ::inet_pton(AF_INET, text.c_str(), &address) == 1 ||
         ::inet_pton(AF_INET6, text.c_str(), &address) == 1;
}

// Plain and not through a rename: an image may have a link or a bind mount in that place. Over what
// is there and not emptied first, since that has ext4 write to the disk at once (auto_da_alloc in
// ext4(5)); most of these files keep their length from one sandbox to the next.
Status WriteFile(const char* path, std::string_view content) {
  UniqueFd fd(::open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
  struct stat before;
  if (!fd || ::fstat(fd.get(), &before) < 0) {
    return Fail(ErrnoError(fmt::format("cannot write '{}'", path)));
  }
  RETURN_IF_ERROR(WriteAll(fd.get(), content, Deadline::Never()));
  const auto length = static_cast<off_t>(content.size());
  if (before.st_size > length && ::ftruncate(fd.get(), length) < 0) {
    return Fail(ErrnoError(fmt::format("cannot shorten '{}'", path)));
  }
  return {};
}

}  // namespace

bool IsHostname(std::string_view name) {
  if (name.empty() || name.size() > kMaxHostname) return false;
  for (const std::string_view label : Split(name, '.')) {
    if (label.empty() || label.front() == '-' || label.back() == '-') return false;
    if (!std::ranges::all_of(label, [](char c) { return IsAlnum(c) || c == '-'; })) return false;
  }
  return true;
}

std::string HostsFor(std::string_view hosts, std::string_view name) {
  std::string text;
  bool localhost = false;
  for (const std::string_view line : Split(hosts, '\n')) {
    if (line.ends_with(kMark) || line.empty()) continue;
    const auto words = Words(line);
    localhost = localhost || std::ranges::count(words, "localhost") > 0;
    text.append(line).append("\n");
  }
  if (!localhost) text = "127.0.0.1 localhost\n::1 localhost\n" + text;
  return text + fmt::format("127.0.1.1 {} {}\n", name, kMark);
}

Status SetHostname(const std::string& name) {
  if (!IsHostname(name)) return Fail(Code::kInvalidArgument, "'{}' is not a host name", name);
  // A machine that has stood ready knows its name: it is quicker to hand out.
  char now[kMaxHostname + 1] = {};
  if (::gethostname(now, sizeof now) == 0 && name == now) return {};
  if (::sethostname(name.data(), name.size()) < 0) {
    return Fail(ErrnoError("cannot set the host name"));
  }
  RETURN_IF_ERROR(WriteFile("/etc/hostname", name + "\n"));
  auto hosts = ReadFile("/etc/hosts");
  return WriteFile("/etc/hosts", HostsFor(hosts ? *hosts : "", name));
}

Status SetMachineId(const std::string& id) {
  const auto is_hex = [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); };
  if (id.size() != 32 || !std::ranges::all_of(id, is_hex)) {
    return Fail(Code::kInvalidArgument, "machineId must be 32 lower-case hex digits");
  }
  const std::string text = id + "\n";
  const auto now = ReadFile("/etc/machine-id", text.size());
  return now && *now == text ? Status() : WriteFile("/etc/machine-id", text);
}

Status SetClock(std::chrono::system_clock::time_point time) {
  using std::chrono::duration_cast;
  using std::chrono::milliseconds;
  using std::chrono::nanoseconds;
  using std::chrono::system_clock;
  const auto error = time - system_clock::now();
  if (error < milliseconds(100) && error > milliseconds(-100)) return {};
  const auto nanos = duration_cast<nanoseconds>(time.time_since_epoch()).count();
  constexpr int64_t kSecond = 1'000'000'000;
  const timespec spec{nanos / kSecond, nanos % kSecond};
  if (nanos < 0 || ::clock_settime(CLOCK_REALTIME, &spec) < 0) {
    return Fail(ErrnoError("cannot set the clock"));
  }
  return {};
}

Status AddEntropy(std::string_view bytes) {
  UniqueFd fd(::open("/dev/urandom", O_WRONLY | O_CLOEXEC));
  if (!fd) return Fail(ErrnoError("cannot open /dev/urandom"));
  std::vector<char> buffer(sizeof(rand_pool_info) + bytes.size());
  auto* info = reinterpret_cast<rand_pool_info*>(buffer.data());
  info->entropy_count = static_cast<int>(bytes.size() * 8);
  info->buf_size = static_cast<int>(bytes.size());
  std::memcpy(buffer.data() + sizeof(rand_pool_info), bytes.data(), bytes.size());
  if (::ioctl(fd.get(), RNDADDENTROPY, info) < 0 || ::ioctl(fd.get(), RNDRESEEDCRNG) < 0) {
    return Fail(ErrnoError("cannot reseed the random generator"));
  }
  return {};
}

Status SetResolvers(std::string_view addresses) {
  std::string text = "# written at boot\n";
  for (const std::string_view address : Split(addresses, ',')) {
    if (address.empty()) continue;
    if (!IsAddress(std::string(address))) {
      return Fail(Code::kInvalidArgument, "'{}' is not an address of a DNS server", address);
    }
    text += fmt::format("nameserver {}\n", address);
  }
  // The link of a resolver that does not run here leads nowhere.
  char target[1];
  if (::readlink("/etc/resolv.conf", target, sizeof target) >= 0) ::unlink("/etc/resolv.conf");
  return WriteFile("/etc/resolv.conf", text);
}

}  // namespace wrenn::guest
