// What is done with a paused sandbox's snapshot when nobody waits: each pause leaves a layer of
// disk and a file of memory, and many small ones become one; and large layers get their digests.
#include <algorithm>
#include <span>

#include "base/id.h"
#include "memory/repack.h"
#include "os/files.h"
#include "sandbox/sandbox.h"
#include "sandbox/text.h"
#include "snapshot/layer_digests.h"
#include "template/image.h"

namespace wrenn::sandbox {
namespace {

constexpr size_t kManyLayers = 6;
// Layers up to this size are always worth merging.
constexpr uint64_t kSmallLayer = 4 << 20;

// How many of the top layers are merged into one: those that are not much larger than all above
// them together, so that each byte is copied only as often as the disk doubles. 0 when they are
// few.
size_t LayersToMerge(const std::string& folder, const disk::Layers& layers) {
  uint64_t above = 0;
  size_t count = 0;
  for (const disk::Layer& layer : layers) {
    const uint64_t size = disk::AllocatedBytes(folder + "/" + layer.name);
    if (count > 0 && size > kSmallLayer && size > 2 * above) break;
    above += size;
    ++count;
  }
  return count >= kManyLayers ? count : 0;
}

Status RemoveFiles(const std::string& folder, std::span<const disk::Layer> layers) {
  return disk::RemoveLayers(folder, disk::Layers(layers.begin(), layers.end()));
}

}  // namespace

// Behind what waits for the executor already.
void Sandbox::TidyLater() {
  executor_->Post([self = shared_from_this()] { self->Tidy(); });
}

void Sandbox::Tidy() {
  const store::SandboxRecord before = record();
  if (before.state != store::SandboxState::kPaused || services_.closing) return;
  const os::Paths& paths = services_.config.paths;
  const std::string from = paths.Snapshot(before.snapshot);
  const std::string id = NewId("sn");
  Phases phases = BeginPhases("tidy");
  const auto warn = [this](const Error& error) {
    services_.Tell(Severity::kWarning, id_, "its snapshot could not be tidied up",
                   {{"error", CleanTail(error.ToString())}});
  };
  const auto made = MakeTidy(from, id, phases);
  if (!made) return warn(made.error());
  if (made->id == id) {
    {
      std::lock_guard lock(mutex_);
      record_.snapshot = id;
    }
    const Status stored =
        RecordFact({before.state, before.reason, "tidy", "done", phases.Finish()});
    // As long as the store names the old one, that must stay.
    if (stored) (void)snapshot::Remove(from);
  }
  if (Status added = AddMissingDigests(); !added) warn(added.error());
}

// Reading a large layer takes seconds, so whatever else is to be done goes first.
Status Sandbox::AddMissingDigests() {
  const std::string place = services_.config.paths.Snapshot(record().snapshot);
  ASSIGN_OR_RETURN(snapshot::Manifest manifest, snapshot::Open(place));
  if (snapshot::HasAllDigests(manifest)) return {};
  const Status added = snapshot::AddLayerDigests(
      place, manifest, [this] { return !services_.closing && !executor_->HasWaiting(); });
  if (added || added.error().code == Code::kCanceled) {
    RETURN_IF_ERROR(snapshot::ReplaceManifest(place, manifest));
  }
  if (!added && added.error().code == Code::kCanceled) {
    if (!services_.closing) TidyLater();
    return {};
  }
  return added;
}

// Answers the manifest of what is there now: of `id`, or the old one.
Result<snapshot::Manifest> Sandbox::MakeTidy(const std::string& from, const std::string& id,
                                             Phases& phases) const {
  ASSIGN_OR_RETURN(snapshot::Manifest manifest, snapshot::Open(from));
  ASSIGN_OR_RETURN(disk::Layers layers, disk::ParseLayers(manifest.layers));
  ASSIGN_OR_RETURN(memory::Image image, memory::Load(from));
  const size_t count = LayersToMerge(from, layers);
  const bool repack = memory::WantsRepack(image);
  if (count == 0 && !repack) return manifest;

  ASSIGN_OR_RETURN(snapshot::Draft draft,
                   snapshot::Draft::Make(services_.config.paths.Snapshot(id)));
  RETURN_IF_ERROR(os::LinkFile(from + snapshot::kStateFile, draft.path() + snapshot::kStateFile));
  if (repack) {
    ASSIGN_OR_RETURN(image, memory::Repack(image, from, draft.path()));
  } else {
    for (const memory::ImageFile& file : image.files) {
      RETURN_IF_ERROR(os::LinkFile(from + "/" + file.name, draft.path() + "/" + file.name));
    }
  }
  RETURN_IF_ERROR(memory::Save(image, draft.path()));
  phases.Mark("memory");

  RETURN_IF_ERROR(disk::LinkLayers(layers, from, draft.path()));
  if (count > 0) {
    RETURN_IF_ERROR(disk::CheckLayers(
        draft.path(), layers, template_::ImageFile(services_.config.paths, manifest.image)));
    ASSIGN_OR_RETURN(disk::Layer merged, disk::MergeLayers(draft.path(), layers, count));
    RETURN_IF_ERROR(RemoveFiles(draft.path(), std::span(layers).first(count)));
    layers.erase(layers.begin(), layers.begin() + static_cast<ptrdiff_t>(count));
    layers.insert(layers.begin(), std::move(merged));
    manifest.layers = disk::LayerNames(layers);
  }
  phases.Mark("disk");
  std::erase_if(manifest.layer_digests, [&](const auto& known) {
    return std::ranges::find(manifest.layers, known.first) == manifest.layers.end();
  });
  manifest.id = id;
  RETURN_IF_ERROR(draft.Commit(manifest, snapshot::Durability::kDurable));
  phases.Mark("commit");
  return manifest;
}

}  // namespace wrenn::sandbox
