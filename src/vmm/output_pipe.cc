#include "vmm/output_pipe.h"

#include <fcntl.h>
#include <sys/stat.h>

namespace wrenn::vmm {
namespace {

Result<UniqueFd> Open(const std::string& path, int mode) {
  UniqueFd fd(::open(path.c_str(), mode | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW));
  if (!fd) return Fail(ErrnoError("cannot open pipe '" + path + "'"));
  return fd;
}

}  // namespace

Result<UniqueFd> MakeOutputPipe(const std::string& path) {
  if (::mkfifo(path.c_str(), 0600) < 0) {
    return Fail(ErrnoError("cannot make pipe '" + path + "'"));
  }
  return Open(path, O_RDWR);
}

Result<UniqueFd> OpenOutputPipe(const std::string& path) { return Open(path, O_RDONLY); }

}  // namespace wrenn::vmm
