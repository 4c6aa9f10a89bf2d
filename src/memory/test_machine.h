// For tests: a process whose memory is a private mapping of a base file, as a VMM's guest RAM is.
#pragma once

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <string>
#include <utility>

#include "base/io.h"
#include "memory/process_memory.h"
#include "os/digest.h"

namespace wrenn::memory {

// The pages of a machine, in a process and in the model of it alike.
inline void Scribble(char* ram, uint64_t page, uint64_t seed) {
  char* const at = ram + page * kPageSize;
  uint64_t state = seed * 0x9E3779B97F4A7C15 + 1;
  for (size_t i = 0; i < kPageSize; i += sizeof(state)) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    std::memcpy(at + i, &state, sizeof(state));
  }
}

struct Change {
  // kSame writes what is there already; kByte changes one byte in the middle.
  enum Kind : uint64_t { kScribble, kZeros, kSame, kByte, kRead, kDigest } kind = kScribble;
  uint64_t page = 0;
  uint64_t seed = 0;
};

inline void Make(const Change& change, char* ram) {
  char* const at = ram + change.page * kPageSize;
  switch (change.kind) {
    case Change::kScribble:
      return Scribble(ram, change.page, change.seed);
    case Change::kZeros:
      std::memset(at, 0, kPageSize);
      return;
    case Change::kSame:
      *static_cast<volatile char*>(at) = *static_cast<volatile char*>(at);
      return;
    case Change::kByte:
      at[kPageSize / 2] = static_cast<char>(at[kPageSize / 2] + 1);
      return;
    case Change::kRead:
      (void)*static_cast<volatile char*>(at);
      return;
    case Change::kDigest:
      return;
  }
}

class TestMachine {
 public:
  // Maps the first `size` bytes of `base`.
  static Result<TestMachine> Start(const std::string& base, uint64_t size,
                                   int flags = MAP_PRIVATE) {
    UniqueFd file(::open(base.c_str(), O_RDWR | O_CLOEXEC));
    if (!file) return Fail(ErrnoError("cannot open '" + base + "'"));
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0) {
      return Fail(ErrnoError("cannot make a socket pair"));
    }
    UniqueFd ours(ends[0]);
    UniqueFd theirs(ends[1]);
    const pid_t pid = ::fork();
    if (pid < 0) return Fail(ErrnoError("cannot fork"));
    if (pid == 0) Run(file.get(), theirs.get(), size, flags);
    TestMachine machine(pid, std::move(ours), base);
    char ready = 0;
    if (::read(machine.socket_.get(), &ready, 1) != 1) {
      return Fail(Code::kInternal, "the test's machine does not start");
    }
    return machine;
  }
  TestMachine(TestMachine&& other) noexcept { *this = std::move(other); }
  TestMachine& operator=(TestMachine&& other) noexcept {
    std::swap(pid_, other.pid_);
    std::swap(socket_, other.socket_);
    std::swap(base_, other.base_);
    return *this;
  }
  ~TestMachine() {
    if (pid_ <= 0) return;
    Kill();
    ::waitpid(pid_, nullptr, 0);
  }

  pid_t pid() const { return pid_; }
  // Leaves a zombie.
  void Kill() {
    ::kill(pid_, SIGKILL);
    siginfo_t info;
    ::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOWAIT);
  }

  Result<ProcessMemory> Memory() const {
    ASSIGN_OR_RETURN(auto mappings, FindMappings(pid_, base_));
    return ProcessMemory(pid_, std::move(mappings));
  }

  void Make(const Change& change) { (void)Ask(change); }
  // Of all its memory.
  os::Sha256Digest Digest() { return Ask({.kind = Change::kDigest}); }

 private:
  TestMachine(pid_t pid, UniqueFd socket, std::string base)
      : pid_(pid), socket_(std::move(socket)), base_(std::move(base)) {}

  os::Sha256Digest Ask(const Change& change) {
    os::Sha256Digest answer{};
    if (::write(socket_.get(), &change, sizeof(change)) == sizeof(change)) {
      (void)!::read(socket_.get(), answer.data(), answer.size());
    }
    return answer;
  }

  [[noreturn]] static void Run(int file, int socket, uint64_t size, int flags) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    void* mapped = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, flags, file, 0);
    if (mapped == MAP_FAILED || ::write(socket, "r", 1) != 1) ::_exit(1);
    char* const ram = static_cast<char*>(mapped);
    Change change;
    while (::read(socket, &change, sizeof(change)) == sizeof(change)) {
      os::Sha256Digest answer{};
      if (change.kind == Change::kDigest) answer = os::Sha256Bytes({ram, size});
      memory::Make(change, ram);
      if (::write(socket, answer.data(), answer.size()) < 0) break;
    }
    ::_exit(0);
  }

  pid_t pid_ = -1;
  UniqueFd socket_;
  std::string base_;
};

// An empty file that a machine boots on.
inline Status MakeEmptyBase(const std::string& path, uint64_t size) {
  const UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!fd || ::ftruncate(fd.get(), static_cast<off_t>(size)) < 0) {
    return Fail(ErrnoError("cannot make '" + path + "'"));
  }
  return {};
}

}  // namespace wrenn::memory
