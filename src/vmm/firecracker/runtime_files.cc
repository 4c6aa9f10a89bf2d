#include "vmm/firecracker/runtime_files.h"

#include <unistd.h>

#include "os/files.h"
#include "vmm/output_pipe.h"

namespace wrenn::vmm {

void FirecrackerFiles::Remove() const {
  for (const std::string& path : {Api(), Vsock(), Console(), Messages(), Metrics()}) {
    ::unlink(path.c_str());
  }
}

Result<FirecrackerEnds> MakeFirecrackerFiles(const FirecrackerFiles& files, uint32_t user) {
  RETURN_IF_ERROR(os::MakeDirectories(files.directory));
  files.Remove();
  FirecrackerEnds ends;
  ASSIGN_OR_RETURN(ends.console, MakeOutputPipe(files.Console()));
  ASSIGN_OR_RETURN(ends.messages, MakeOutputPipe(files.Messages()));
  ASSIGN_OR_RETURN(ends.metrics, MakeOutputPipe(files.Metrics()));
  for (const std::string& path :
       {files.Console(), files.Messages(), files.Metrics(), files.directory}) {
    if (::chown(path.c_str(), user, user) < 0) {
      return Fail(ErrnoError("cannot give '" + path + "' to its sandbox's user"));
    }
  }
  return ends;
}

}  // namespace wrenn::vmm
