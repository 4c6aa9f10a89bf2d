// The parts of wrenn that work on this machine without a server: paths, records, its own programs.
#pragma once

#include <memory>
#include <string>

#include "os/paths.h"
#include "store/store.h"

namespace wrenn::cli {

struct Local {
  os::Paths paths;
  std::unique_ptr<store::Store> store;
};

// Where the server of this machine keeps its files: what the settings file says counts, too.
Result<os::Paths> LocalPaths();

// Opens the records of the root, which is made when absent. Others may have them open.
Result<Local> OpenLocal();
// The same for who only looks: kNotFound when nothing has been made there yet.
Result<Local> OpenExistingLocal();

// The path of this program.
Result<std::string> OwnProgram();
// The guest's program: $WRENN_INIT, or wrenn-init beside this program.
Result<std::string> GuestProgram();

}  // namespace wrenn::cli
