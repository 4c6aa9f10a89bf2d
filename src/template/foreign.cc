#include "template/foreign.h"

#include "base/io.h"
#include "os/digest.h"
#include "template/image.h"
#include "template/kernel.h"

namespace wrenn::template_ {
namespace {

constexpr size_t kMaxManifest = 1 << 20;

Result<KernelManifest> ReadManifest(const std::string& folder) {
  ASSIGN_OR_RETURN(const std::string text, ReadFile(folder + "/manifest.json", kMaxManifest));
  ASSIGN_OR_RETURN(const json::object object, ParseJsonObject(text));
  return KernelManifest::FromJson(object);
}

// The digests of its files, as lines.
Result<std::string> Digests(const std::string& folder) {
  ASSIGN_OR_RETURN(const std::string vmlinux, os::Sha256File(folder + "/vmlinux"));
  ASSIGN_OR_RETURN(const std::string initramfs, os::Sha256File(folder + "/initramfs"));
  return vmlinux + "\n" + initramfs + "\n";
}

}  // namespace

Result<ForeignKernel> IdentifyKernel(const std::string& folder) {
  ASSIGN_OR_RETURN(const KernelManifest manifest, ReadManifest(folder));
  ASSIGN_OR_RETURN(const std::string digests, Digests(folder));
  const std::string text = json::serialize(manifest.ToJson());
  return ForeignKernel{manifest.Hash(),
                       os::Sha256Hex("wrenn foreign kernel bundle\n" + text + "\n" + digests)};
}

Result<std::string> PublishKernel(const os::Paths& paths, const Workspace& workspace,
                                  const std::string& folder, const ForeignKernel& kernel,
                                  const os::FileLock&) {
  if (HasKernel(paths, kernel.own)) {
    ASSIGN_OR_RETURN(const std::string ours, Digests(paths.Kernel(kernel.own)));
    ASSIGN_OR_RETURN(const std::string theirs, Digests(workspace.path() + "/" + folder));
    if (ours == theirs) return kernel.own;
  }
  RETURN_IF_ERROR(workspace.Publish(folder, paths.Kernel(kernel.hash)));
  return kernel.hash;
}

Status PublishImage(const os::Paths& paths, const Workspace& workspace, const std::string& folder,
                    const std::string& hash, const os::FileLock&) {
  const std::string place = workspace.path() + "/" + folder;
  const ImageManifest manifest{.hash = hash,
                               .kind = "imported",
                               .recipe = {},
                               .recipe_text = {},
                               .bytes = FileBytes(place + "/rootfs"),
                               .created_at = std::chrono::system_clock::now()};
  RETURN_IF_ERROR(WriteImageManifest(place, manifest));
  return workspace.Publish(folder, paths.Image(hash));
}

}  // namespace wrenn::template_
