#include "vmm/qemu/runtime_files.h"

#include <unistd.h>

#include "os/files.h"
#include "vmm/output_pipe.h"
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
  ASSIGN_OR_RETURN(ends.stderr_pipe, MakeOutputPipe(files.Stderr()));
  return ends;
}

std::string ReadAvailable(int fd, size_t limit) {
  std::string text(limit, '\0');
  const ssize_t got = ::read(fd, text.data(), text.size());
  text.resize(got > 0 ? static_cast<size_t>(got) : 0);
  return text;
}

}  // namespace wrenn::vmm
