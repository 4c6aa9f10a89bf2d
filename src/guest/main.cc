// wrenn-init: what runs in a guest, from the kernel's first program on.
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <string_view>

#include "guest/agent/standalone.h"
#include "guest/init/pid1.h"

int main(int argc, char** argv) {
  // A closed pipe or socket is an error code here. What is started gets the default back.
  ::signal(SIGPIPE, SIG_IGN);
  // 0 to 2 are never other files: what is started finds its own there.
  for (int fd = ::open("/dev/null", O_RDWR); fd >= 0; fd = ::open("/dev/null", O_RDWR)) {
    if (fd > 2) {
      ::close(fd);
      break;
    }
  }
  if (argc > 1 && std::string_view(argv[1]) == "--version") {
    std::puts("wrenn-init " WRENN_VERSION);
    return 0;
  }
  if (::getpid() == 1) wrenn::guest::RunPid1();
  return wrenn::guest::RunStandaloneAgent(argc, argv);
}
