#include "template/garbage.h"

#include <set>

#include "os/files.h"

namespace wrenn::template_ {
namespace {

Status RemoveAllBut(const std::string& folder, const std::set<std::string>& used) {
  ASSIGN_OR_RETURN(const auto names, os::ListDirectory(folder));
  for (const std::string& name : names) {
    if (!used.contains(name)) RETURN_IF_ERROR(os::RemoveTree(folder + "/" + name));
  }
  return {};
}

}  // namespace

bool NeedsFiles(const store::SandboxRecord& sandbox) {
  return sandbox.state != store::SandboxState::kStopped &&
         sandbox.state != store::SandboxState::kError;
}

Status CollectGarbage(const os::Paths& paths, store::Store& store, const os::FileLock&) {
  std::set<std::string> images;
  std::set<std::string> kernels;
  // In this order: a sandbox is recorded while its template is, so the template may go between the
  // two lists and the sandbox is still seen.
  ASSIGN_OR_RETURN(const auto templates, store.ListAllTemplates());
  ASSIGN_OR_RETURN(const auto sandboxes, store.ListAllSandboxes());
  for (const auto& record : templates) {
    images.insert(record.image);
    kernels.insert(record.kernel);
  }
  for (const auto& sandbox : sandboxes) {
    if (!NeedsFiles(sandbox)) continue;
    images.insert(sandbox.image);
    kernels.insert(sandbox.kernel);
  }
  RETURN_IF_ERROR(RemoveAllBut(paths.Images(), images));
  return RemoveAllBut(paths.Kernels(), kernels);
}

}  // namespace wrenn::template_
