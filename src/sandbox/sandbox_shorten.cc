// How the disk of a sandbox that never pauses stays short: each snapshot and fork of it leaves a
// layer, and many small ones become one while it runs (docs/adr/0006-snapshots.md).
#include <algorithm>
#include <span>

#include "disk/follow_top.h"
#include "disk/merge_rule.h"
#include "os/files.h"
#include "sandbox/sandbox.h"
#include "sandbox/text.h"
#include "template/image.h"

namespace wrenn::sandbox {
namespace {

constexpr std::chrono::seconds kVmmLimit{30};
// The sandbox's other tasks wait for a merge, so that it is only as large as this as long as there
// is time.
constexpr uint64_t kLongMerge = 256 << 20;
constexpr size_t kLongChain = disk::kMaxLayers / 4;

uint64_t TotalBytes(const std::string& folder, std::span<const disk::Layer> layers) {
  uint64_t bytes = 0;
  for (const disk::Layer& layer : layers) bytes += disk::AllocatedBytes(folder + "/" + layer.name);
  return bytes;
}

}  // namespace

// Everything below the top layer is at rest, so it is merged as if nothing ran. The header of the
// top layer then says what is below it: until the record says the same, both are there, and
// CorrectDisk() believes the header.
Status Sandbox::ShortenDisk() {
  if (is_disk_unsure_) RETURN_IF_ERROR(CorrectDisk());
  if (has_other_layers_ && !IsUnsaved()) RETURN_IF_ERROR(RemoveOtherLayers());
  ASSIGN_OR_RETURN(const disk::Layers layers, ParseDisk(record().disk));
  const disk::Layers below(layers.begin() + 1, layers.end());
  // A whole disk stays, however small it is.
  const size_t movable =
      below.size() - (!below.empty() && below.back().format == disk::Format::kRaw);
  const auto candidates = std::span(below).first(movable);
  const size_t count = disk::LayersToMerge(files_.folder(), candidates);
  if (count == 0) return {};
  // Those that come next will bring another Tidy().
  if (executor_->HasWaiting() && layers.size() < kLongChain) return {};
  const auto merging = candidates.first(count);
  const uint64_t bytes = TotalBytes(files_.folder(), merging);
  if (bytes > kLongMerge && layers.size() < kLongChain) return {};
  ASSIGN_OR_RETURN(const uint64_t free, os::FreeDiskBytes(files_.folder()));
  const auto spare =
      static_cast<uint64_t>(std::max<int64_t>(0, services_.config.limits.min_free_disk_mb)) << 20;
  if (free < spare || free - spare < bytes) return {};  // it must not be what fills the disk

  Phases phases = BeginPhases("shorten");
  ASSIGN_OR_RETURN(const disk::Layer merged, disk::MergeLayers(files_.folder(), below, count));
  phases.Mark("merge");
  std::vector<std::string> replaced;
  for (const disk::Layer& layer : merging) replaced.push_back(files_.folder() + "/" + layer.name);
  const Status done = Machine()->ReplaceBelow(files_.folder() + "/" + merged.name, replaced,
                                              Deadline::After(kVmmLimit));
  ASSIGN_OR_RETURN(const disk::Layers now, disk::FollowTop(files_.folder(), layers));
  if (now == layers) {
    (void)disk::RemoveLayers(files_.folder(), {merged});
    return done;
  }
  phases.Mark("switch");
  NoteDisk(now);
  has_other_layers_ = true;
  phases.Note("layers", json::value(now.size()));
  phases.Note("merged_bytes", json::value(bytes));
  const store::SandboxRecord before = record();
  RETURN_IF_ERROR(RecordFact({before.state, before.reason, "shorten", "done"}));
  phases.Mark("record");
  RETURN_IF_ERROR(RemoveOtherLayers());
  phases.Mark("remove");
  services_.Tell(Severity::kInfo, id_, "its disk has been shortened", phases.Finish());
  return done;
}

// What a merge or a switch that was broken off left beside the layers of its disk.
Status Sandbox::RemoveOtherLayers() {
  const store::SandboxRecord now = record();
  ASSIGN_OR_RETURN(const disk::Layers layers, ParseDisk(now.disk));
  RETURN_IF_ERROR(disk::CheckLayers(files_.folder(), layers,
                                    template_::ImageFile(services_.config.paths, now.image)));
  ASSIGN_OR_RETURN(disk::Layers found, disk::FindLayers(files_.folder()));
  std::erase_if(found, [&](const disk::Layer& layer) {
    return std::ranges::find(layers, layer) != layers.end();
  });
  RETURN_IF_ERROR(disk::RemoveLayers(files_.folder(), found));
  has_other_layers_ = false;
  return {};
}

}  // namespace wrenn::sandbox
