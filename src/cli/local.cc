#include "cli/local.h"

#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "os/files.h"
#include "server/config.h"

namespace wrenn::cli {

Result<os::Paths> LocalPaths() {
  ASSIGN_OR_RETURN(server::ServerConfig config, server::LoadConfig({}));
  return std::move(config.paths);
}

Result<Local> OpenLocal() {
  ASSIGN_OR_RETURN(os::Paths paths, LocalPaths());
  RETURN_IF_ERROR(paths.Prepare());
  ASSIGN_OR_RETURN(auto store, store::OpenSqlite(paths.Database()));
  return Local{std::move(paths), std::move(store)};
}

Result<Local> OpenExistingLocal() {
  ASSIGN_OR_RETURN(const os::Paths paths, LocalPaths());
  if (!os::Exists(paths.Database())) {
    return Fail(
        Code::kNotFound,
        "'{}' holds no records yet: 'wrenn serve' or 'wrenn template build' begins them, and "
        "WRENN_ROOT names another root",
        paths.root);
  }
  return OpenLocal();
}

Result<std::string> OwnProgram() {
  std::error_code error;
  const auto path = std::filesystem::read_symlink("/proc/self/exe", error);
  if (error) return Fail(ErrnoError("cannot find this program's file", error.value()));
  return path.string();
}

Result<std::string> GuestProgram() {
  if (const char* set = std::getenv("WRENN_INIT"); set && *set) {
    if (!os::Exists(set)) return Fail(Code::kNotFound, "WRENN_INIT names no file: '{}'", set);
    return std::string(set);
  }
  ASSIGN_OR_RETURN(const std::string own, OwnProgram());
  const auto folder = std::filesystem::path(own).parent_path();
  // Beside the program in a build tree; in libexec when it is installed.
  for (const auto& path : {folder / "wrenn-init", folder / "../libexec/wrenn/wrenn-init"}) {
    if (os::Exists(path)) return path.lexically_normal().string();
  }
  return Fail(Code::kNotFound,
              "the guest's program wrenn-init is not beside '{}': build it, or set WRENN_INIT",
              own);
}

}  // namespace wrenn::cli
