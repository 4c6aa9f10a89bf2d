#include <algorithm>

#include "base/id.h"
#include "os/files.h"
#include "snapshot/folder.h"
#include "template/catalogue.h"
#include "template/garbage.h"
#include "template/image.h"
#include "template/kernel.h"
#include "template/recipe.h"
#include "template/tools.h"
#include "template/workspace.h"

namespace wrenn::template_ {
namespace {

using Clock = std::chrono::system_clock;

// Another build may have to make a kernel bundle again while it holds the catalogue.
constexpr std::chrono::minutes kLockLimit{15};

Status Validate(const BuildRequest& request) {
  if (!IsName(request.name)) {
    return Fail(Code::kInvalidArgument,
                "'{}' cannot be a template's name: use 1 to 63 of a-z, 0-9, '.', '_' and '-'",
                request.name);
  }
  if (request.kind != "minimal" && request.kind != "debian") {
    return Fail(Code::kInvalidArgument, "there is no kind of template '{}': 'minimal' or 'debian'",
                request.kind);
  }
  if (request.kind == "minimal" && !request.package_file.empty()) {
    return Fail(Code::kInvalidArgument,
                "a minimal template takes no packages: build 'base' of them");
  }
  if (request.disk_mb < 0 || request.disk_mb > kMaxDiskMb) {
    return Fail(Code::kInvalidArgument, "disk_mb must be between 0 and {}", kMaxDiskMb);
  }
  if (request.vcpus < 1 || request.vcpus > kMaxVcpus) {
    return Fail(Code::kInvalidArgument, "vcpus must be between 1 and {}", kMaxVcpus);
  }
  if ((request.memory_mb != 0 && request.memory_mb < kMinMemoryMb) ||
      request.memory_mb > kMaxMemoryMb) {
    return Fail(Code::kInvalidArgument, "memory_mb must be between {} and {}", kMinMemoryMb,
                kMaxMemoryMb);
  }
  return {};
}

class Builder {
 public:
  Builder(const os::Paths& paths, store::Store& store, const BuildRequest& request,
          const std::string& guest_program, const Progress& progress)
      : paths_(paths),
        store_(store),
        request_(request),
        guest_program_(guest_program),
        progress_(progress) {}

  Result<BuildResult> Run() {
    RETURN_IF_ERROR(Validate(request_));
    ASSIGN_OR_RETURN(const auto turn, TakeTurn());
    (void)CleanTemporary(paths_);  // what stays is no reason not to build
    ASSIGN_OR_RETURN(const auto workspace, Workspace::Make(paths_));
    auto result = RunIn(workspace);
    if (!result) return Fail(ExplainFailure(workspace, std::move(result.error())));
    return result;
  }

 private:
  static constexpr int kSteps = 3;

  void Say(int step, const std::string& what) const {
    if (progress_) progress_(step, kSteps, what);
  }
  std::function<void(const std::string&)> Sayer(int step) const {
    return [this, step](const std::string& what) { Say(step, what); };
  }

  int MemoryMb() const {
    if (request_.memory_mb != 0) return request_.memory_mb;
    return request_.kind == "minimal" ? 128 : 512;
  }

  Result<Turn> TakeTurn() const {
    ASSIGN_OR_RETURN(auto turn, Turn::Try(paths_, request_.name));
    if (turn) return std::move(*turn);
    Say(1, "waiting for another build of '" + request_.name + "' to end");
    return Turn::Wait(paths_, request_.name);
  }

  Result<BuildResult> RunIn(const Workspace& workspace) {
    Say(1, "preparing the kernel");
    ASSIGN_OR_RETURN(kernel_,
                     EnsureKernel(paths_, workspace, guest_program_, request_.force, Sayer(1)));
    ASSIGN_OR_RETURN(const auto recipe, MakeRecipe(workspace, request_));
    const std::string recipe_hash = recipe->Hash();
    if (!request_.force) {
      ASSIGN_OR_RETURN(auto reused, Reuse(workspace, *recipe, recipe_hash));
      if (reused) return std::move(*reused);
    }
    Say(2, "making the image");
    RETURN_IF_ERROR(os::MakeDirectory(workspace.path() + "/image"));
    RETURN_IF_ERROR(recipe->Make(workspace, Sayer(2)));
    Say(3, "checking and recording it");
    return Record(workspace, *recipe, recipe_hash);
  }

  // An image of the same recipe, if it is here; then only the record may have to be made or
  // changed.
  Result<std::optional<BuildResult>> Reuse(const Workspace& workspace, const Recipe& recipe,
                                           const std::string& recipe_hash) {
    ASSIGN_OR_RETURN(const auto lock, LockCatalogue(paths_, Deadline::After(kLockLimit)));
    ASSIGN_OR_RETURN(const auto templates, store_.ListAllTemplates());
    const auto equal = std::ranges::find_if(templates, [&](const store::TemplateRecord& record) {
      return record.recipe == recipe_hash && HasImage(paths_, record.image);
    });
    if (equal == templates.end()) return std::optional<BuildResult>();
    ASSIGN_OR_RETURN(auto record, Put(workspace, recipe, recipe_hash, equal->image));
    TidyUp(lock);
    return BuildResult{.record = std::move(record), .reused = true};
  }

  Result<BuildResult> Record(const Workspace& workspace, const Recipe& recipe,
                             const std::string& recipe_hash) {
    ImageManifest manifest{.hash = {},
                           .kind = request_.kind,
                           .recipe = recipe_hash,
                           .recipe_text = recipe.Text(),
                           .bytes = 0,
                           .created_at = Clock::now()};
    RETURN_IF_ERROR(FinishImage(workspace, manifest));
    ASSIGN_OR_RETURN(const auto lock, LockCatalogue(paths_, Deadline::After(kLockLimit)));
    RETURN_IF_ERROR(workspace.Publish("image", paths_.Image(manifest.hash)));
    ASSIGN_OR_RETURN(auto record, Put(workspace, recipe, recipe_hash, manifest.hash));
    TidyUp(lock);
    return BuildResult{.record = std::move(record), .reused = false};
  }

  // The template is there: what cannot be removed now does not make its build a failure.
  void TidyUp(const os::FileLock& catalogue_lock) const {
    (void)CollectGarbage(paths_, store_, catalogue_lock);
  }

  // Under the catalogue's lock: makes the record name this image and this build's kernel bundle. A
  // record that says all this already is left alone; one that differs in the kernel and the
  // defaults keeps its id, since it is the same template.
  Result<store::TemplateRecord> Put(const Workspace& workspace, const Recipe& recipe,
                                    const std::string& recipe_hash, const std::string& image) {
    // Garbage may have been collected meanwhile, and this kernel with it.
    if (!HasKernel(paths_, kernel_)) {
      ASSIGN_OR_RETURN(kernel_,
                       EnsureKernel(paths_, workspace, guest_program_, request_.force, Sayer(1)));
    }
    auto old = store_.FindTemplate(store::kDefaultTenant, request_.name);
    if (!old && old.error().code != Code::kNotFound) return Fail(std::move(old.error()));
    store::TemplateRecord record;
    if (old && old->image == image && old->snapshot.empty()) {
      record = *old;
      if (record.kernel == kernel_ && record.recipe == recipe_hash &&
          record.vcpus == request_.vcpus && record.memory_mb == MemoryMb()) {
        return record;
      }
      if (record.kernel != kernel_) Say(3, "kernel refreshed");
    } else {
      record.id = NewId("tp");
      record.created_at = Clock::now();
    }
    record.name = request_.name;
    record.image = image;
    record.kernel = kernel_;
    record.recipe = recipe_hash;
    record.description = recipe.Description();
    record.vcpus = request_.vcpus;
    record.memory_mb = MemoryMb();
    record.size_bytes = os::AllocatedBytes(ImageFile(paths_, image));
    RETURN_IF_ERROR(store_.PutTemplate(record, /*replace=*/true));
    if (old && IsId("sn", old->snapshot)) (void)snapshot::Remove(paths_.Snapshot(old->snapshot));
    return record;
  }

  const os::Paths& paths_;
  store::Store& store_;
  const BuildRequest& request_;
  const std::string& guest_program_;
  const Progress& progress_;
  std::string kernel_;  // the bundle that was chosen at the beginning
};

}  // namespace

Result<BuildResult> Build(const os::Paths& paths, store::Store& store, const BuildRequest& request,
                          const std::string& guest_program, const Progress& progress) {
  return Builder(paths, store, request, guest_program, progress).Run();
}

}  // namespace wrenn::template_
