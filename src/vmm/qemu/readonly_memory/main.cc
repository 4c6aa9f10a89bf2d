// Preloaded into a jailed QEMU before 8.2, which maps a file privately as a machine's RAM but
// insists on opening it for writing too. In its jail it may only read that file, which other
// machines share: so of this one path an open for writing that is refused is an open for reading
// instead. Nothing depends on it but that QEMU starts.
//
// $WRENN_READONLY_MEMORY is the path. What is replaced is what QEMU imports of libc for opening
// (LSB 5.0, "open64"; __open64_2 is what _FORTIFY_SOURCE makes of calls without a mode).
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdarg>
#include <cstdlib>
#include <cstring>

namespace {

int Open(const char* path, int flags, unsigned mode) {
  const auto open = [&](int with) {
    return static_cast<int>(::syscall(SYS_openat, AT_FDCWD, path, with, mode));
  };
  const int file = open(flags);
  if (file >= 0 || (errno != EACCES && errno != EROFS) || (flags & O_ACCMODE) != O_RDWR) {
    return file;
  }
  const char* memory = std::getenv("WRENN_READONLY_MEMORY");
  if (!memory || std::strcmp(memory, path) != 0) return file;
  return open((flags & ~O_ACCMODE) | O_RDONLY);
}

}  // namespace

extern "C" {

int open64(const char* path, int flags, ...) {
  unsigned mode = 0;
  if ((flags & (O_CREAT | __O_TMPFILE)) != 0) {
    va_list more;
    va_start(more, flags);
    mode = va_arg(more, unsigned);
    va_end(more);
  }
  return Open(path, flags, mode);
}

int __open64_2(const char* path, int flags);
int __open64_2(const char* path, int flags) { return Open(path, flags, 0); }

}  // extern "C"
