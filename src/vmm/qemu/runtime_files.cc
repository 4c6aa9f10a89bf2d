#include "vmm/qemu/runtime_files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "os/files.h"
#include "wire/sockets.h"

namespace wrenn::vmm {

void RuntimeFiles::Remove() const {
  for (const std::string& path : {Qmp(), Console(), Agent(0), Agent(1), Stderr()}) {
    ::unlink(path.c_str());
  }
}

Result<VmmEnds> MakeRuntimeFiles(const RuntimeFiles& files) {
  RETURN_IF_ERROR(os::MakeDirectories(files.directory));
  files.Remove();
  VmmEnds ends;
  ASSIGN_OR_RETURN(ends.qmp, wire::ListenUnix(files.Qmp()));
  ASSIGN_OR_RETURN(ends.console, wire::ListenUnix(files.Console()));
  for (int lane = 0; lane < 2; ++lane) {
    ASSIGN_OR_RETURN(ends.agent[lane], wire::ListenUnix(files.Agent(lane)));
  }
  if (::mkfifo(files.Stderr().c_str(), 0600) < 0) {
    return Fail(ErrnoError("cannot make pipe '" + files.Stderr() + "'"));
  }
  // Read-write, so that it never breaks when no server reads; non-blocking, so that the VMM never
  // waits.
  ends.stderr_pipe.Reset(::open(files.Stderr().c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC));
  if (!ends.stderr_pipe) return Fail(ErrnoError("cannot open pipe '" + files.Stderr() + "'"));
  return ends;
}

Result<UniqueFd> OpenStderr(const RuntimeFiles& files) {
  UniqueFd fd(::open(files.Stderr().c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW));
  if (!fd) return Fail(ErrnoError("cannot open pipe '" + files.Stderr() + "'"));
  return fd;
}

std::string ReadAvailable(int fd, size_t limit) {
  std::string text(limit, '\0');
  const ssize_t got = ::read(fd, text.data(), text.size());
  text.resize(got > 0 ? static_cast<size_t>(got) : 0);
  return text;
}

}  // namespace wrenn::vmm
