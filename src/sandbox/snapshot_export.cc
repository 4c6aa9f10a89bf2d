// A snapshot with all that it stands on, as a stream.
#include "memory/image.h"
#include "os/files.h"
#include "sandbox/snapshot_transfer.h"
#include "snapshot/folder.h"
#include "snapshot/pack.h"
#include "snapshot/verify.h"
#include "template/workspace.h"

namespace wrenn::sandbox {
namespace {

// Links to all files of a snapshot in a workspace, below which they lie as they do below the root.
// Whatever becomes of the template meanwhile, they stay, and without a descriptor for each.
class Held {
 public:
  Held(const os::Paths& paths, const store::TemplateRecord& record, const std::string& workspace)
      : paths_(paths), record_(record) {
    here_.root = workspace;
  }

  Status Take() {
    const std::string place = paths_.Snapshot(record_.snapshot);
    for (const std::string& folder : {here_.Snapshot(record_.snapshot), here_.Image(record_.image),
                                      here_.Kernel(record_.kernel)}) {
      RETURN_IF_ERROR(os::MakeDirectories(folder));
    }
    ASSIGN_OR_RETURN(manifest_, snapshot::Open(place));
    ASSIGN_OR_RETURN(const memory::Image image, memory::Load(place));
    RETURN_IF_ERROR(FromSnapshot(snapshot::kPackedManifest));
    RETURN_IF_ERROR(FromSnapshot(snapshot::kPackedMap));
    RETURN_IF_ERROR(FromSnapshot(snapshot::kPackedState));
    for (const std::string& layer : manifest_.layers) RETURN_IF_ERROR(FromSnapshot(layer));
    for (const memory::ImageFile& file : image.files) RETURN_IF_ERROR(FromSnapshot(file.name));
    const std::string kernel = paths_.Kernel(record_.kernel);
    const std::string kernel_here = here_.Kernel(record_.kernel);
    for (const char* file : {"/manifest.json", "/vmlinux", "/initramfs"}) {
      RETURN_IF_ERROR(Link(kernel + file, kernel_here + file, std::string("kernel") + file));
    }
    return Link(paths_.Image(record_.image) + "/rootfs", Base().path, snapshot::kPackedImage);
  }

  const snapshot::Manifest& manifest() const { return manifest_; }
  std::string Place() const { return here_.Snapshot(record_.snapshot); }
  snapshot::Base Base() const { return {here_.Image(record_.image) + "/rootfs", record_.image}; }
  const std::vector<snapshot::PackSource>& files() const { return files_; }

 private:
  Status FromSnapshot(const std::string& name) {
    return Link(paths_.Snapshot(record_.snapshot) + "/" + name, Place() + "/" + name, name);
  }
  Status Link(const std::string& from, const std::string& to, const std::string& name) {
    RETURN_IF_ERROR(os::LinkFile(from, to));
    files_.push_back({name, to});
    return {};
  }

  const os::Paths& paths_;
  const store::TemplateRecord& record_;
  os::Paths here_;
  snapshot::Manifest manifest_;
  std::vector<snapshot::PackSource> files_;
};

}  // namespace

Status ExportSnapshot(const Services& services, const std::string& tenant, const std::string& name,
                      const snapshot::GoOn& go_on, const snapshot::ByteSink& sink) {
  ASSIGN_OR_RETURN(const template_::Resolved resolved, services.catalogue.Find(tenant, name));
  const store::TemplateRecord& record = resolved.record;
  if (record.snapshot.empty()) {
    return Fail(Code::kInvalidArgument,
                "'{}' is a template that was built, not a snapshot: build it where it is needed",
                name);
  }
  ASSIGN_OR_RETURN(const auto workspace, template_::Workspace::Make(services.config.paths));
  Held held(services.config.paths, record, workspace.path());
  if (Status taken = held.Take(); !taken) {
    if (taken.error().code != Code::kNotFound) return taken;
    return Fail(Error{Code::kAborted,
                      fmt::format("snapshot '{}' was removed or replaced meanwhile", name),
                      taken.error().ToString()});
  }
  // Damage must not be found out when only the copy is left.
  ASSIGN_OR_RETURN(const snapshot::Verdict verdict,
                   snapshot::Verify(held.Place(), held.Base(),
                                    [&] { return !services.closing && (!go_on || go_on()); }));
  if (!verdict.ok()) {
    return Fail(Code::kDataLoss, "snapshot '{}' is damaged: {}", name, verdict.problems.front());
  }
  snapshot::PackedIndex labels;
  labels.name = record.name;
  labels.description = record.description;
  labels.created_at = held.manifest().created_at;
  return snapshot::Pack(std::move(labels), held.files(), sink);
}

}  // namespace wrenn::sandbox
