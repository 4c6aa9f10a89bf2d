// What is done with a paused sandbox's snapshot when nobody waits: each pause leaves a layer of
// disk and a file of memory, and many small ones become one; and large layers get their digests.
#include <algorithm>
#include <span>
#include <utility>

#include "base/id.h"
#include "disk/merge_rule.h"
#include "memory/repack.h"
#include "os/files.h"
#include "sandbox/sandbox.h"
#include "sandbox/text.h"
#include "snapshot/layer_digests.h"
#include "template/image.h"

namespace wrenn::sandbox {
namespace {

// What may pile up where a machine stands by, which will most likely go on soon and does not want
// to wait for this: so many times as much as otherwise.
constexpr unsigned kPatience = 8;

Status RemoveFiles(const std::string& folder, std::span<const disk::Layer> layers) {
  return disk::RemoveLayers(folder, disk::Layers(layers.begin(), layers.end()));
}

}  // namespace

// Behind what waits for the executor already; once, since it gives way to others.
void Sandbox::TidyLater() {
  {
    std::lock_guard lock(mutex_);
    if (std::exchange(will_tidy_, true)) return;
  }
  executor_->Post([self = shared_from_this()] { self->Tidy(); });
}

void Sandbox::Tidy() {
  {
    std::lock_guard lock(mutex_);
    will_tidy_ = false;
  }
  const store::SandboxRecord before = record();
  if (services_.closing) return;
  if (before.state == store::SandboxState::kRunning) {
    if (Status shortened = ShortenDisk(); !shortened) {
      services_.Tell(Severity::kWarning, id_, "its disk could not be shortened",
                     {{"error", CleanTail(shortened.error().ToString())}});
    }
    return;
  }
  if (before.state != store::SandboxState::kPaused) return;
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
    if (Status kept = KeepTidyMemory(paths.Snapshot(id)); !kept) warn(kept.error());
  }
  if (Status added = AddMissingDigests(); !added) warn(added.error());
}

// Of a machine that stands by, too, or its files would pile up.
Status Sandbox::KeepTidyMemory(const std::string& place) {
  if (!HoldsMachine()) return {};
  ASSIGN_OR_RETURN(const memory::Image image, memory::Load(place));
  return files_.KeepMemory(image, place);
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
  const bool waits = HoldsMachine();
  // The layers of a machine are merged while it runs.
  const size_t count = waits ? 0 : disk::LayersToMerge(from, layers);
  const bool repack = memory::WantsRepack(image, waits ? kPatience : 1);
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
