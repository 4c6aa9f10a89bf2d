#include "guest/init/console.h"

#include <fcntl.h>
#include <unistd.h>

#include "base/unique_fd.h"

namespace wrenn::guest {

void OpenConsole() {
  UniqueFd fd(::open("/dev/console", O_RDWR | O_NOCTTY | O_CLOEXEC));
  if (!fd) return;
  for (int standard = 0; standard <= 2; ++standard) {
    if (fd.get() != standard) ::dup2(fd.get(), standard);
  }
  if (fd.get() <= 2) fd.Release();
}

void WriteConsole(const std::string& line) {
  const std::string text = "wrenn-init: " + line + "\n";
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, text.data(), text.size());
}

}  // namespace wrenn::guest
