#include "disk/merge.h"

#include <algorithm>
#include <functional>

#include "disk/qcow2_writer.h"
#include "disk/sparse_copy.h"

namespace wrenn::disk {
namespace {

// The clusters of one table, seen through all layers.
struct Merged {
  std::vector<Cluster> clusters = std::vector<Cluster>(kTableEntries);
  std::vector<const Qcow2Reader*> layers = std::vector<const Qcow2Reader*>(kTableEntries);
};

// Neighbouring clusters that can be handled as one: all zeros, or data that lies in a row in one
// layer's file.
struct Run {
  size_t begin = 0;  // in the table
  size_t count = 0;
  Cluster first = kUnallocated;
  const Qcow2Reader* layer = nullptr;

  // Bytes of the layer's own disk, which may end within the last cluster.
  uint64_t Bytes(uint64_t guest_offset) const {
    return std::min(count * kCluster, layer->header().size_bytes - guest_offset);
  }
};

// False when no layer has any of it.
Result<bool> Collect(const Readers& layers, size_t index, Merged& merged) {
  std::ranges::fill(merged.clusters, kUnallocated);
  std::vector<Cluster> table(kTableEntries);
  bool found = false;
  for (const Qcow2Reader& layer : layers) {
    if (index >= layer.tables()) break;  // nor do those below reach it
    ASSIGN_OR_RETURN(const bool any,
                     layer.ReadTable(index, std::span<Cluster, kTableEntries>(table)));
    if (!any) continue;
    found = true;
    for (size_t i = 0; i < kTableEntries; ++i) {
      if (merged.clusters[i] != kUnallocated) continue;
      merged.clusters[i] = table[i];
      merged.layers[i] = &layer;
    }
  }
  return found;
}

Run RunAt(const Merged& merged, size_t begin) {
  Run run{begin, 1, merged.clusters[begin], merged.layers[begin]};
  for (; begin + run.count < kTableEntries; ++run.count) {
    const Cluster next = merged.clusters[begin + run.count];
    if (!IsData(run.first) ? next != run.first
                           : next != run.first + run.count * kCluster ||
                                 merged.layers[begin + run.count] != run.layer) {
      break;
    }
  }
  return run;
}

// Calls `each` with all runs of a table that are not unallocated, and their offset in the disk.
Status ForEachRun(const Merged& merged, size_t index,
                  const std::function<Status(const Run&, uint64_t)>& each) {
  for (size_t i = 0; i < kTableEntries;) {
    const Run run = RunAt(merged, i);
    if (run.first != kUnallocated) {
      RETURN_IF_ERROR(each(run, index * kTableReach + i * kCluster));
    }
    i += run.count;
  }
  return {};
}

}  // namespace

Status MergeToQcow2(const Readers& layers, int fd) {
  Qcow2Writer writer(fd, layers.front().header().size_bytes);
  Merged merged;
  std::vector<Cluster> table(kTableEntries);
  for (size_t index = 0; index < layers.front().tables(); ++index) {
    ASSIGN_OR_RETURN(const bool any, Collect(layers, index, merged));
    if (!any) continue;
    std::ranges::fill(table, kUnallocated);
    RETURN_IF_ERROR(ForEachRun(merged, index, [&](const Run& run, uint64_t guest_offset) -> Status {
      Cluster cluster = IsData(run.first) ? writer.Allocate(run.count) : kZeros;
      for (size_t i = 0; i < run.count; ++i) {
        table[run.begin + i] = IsData(cluster) ? cluster + i * kCluster : kZeros;
      }
      if (!IsData(cluster)) return {};
      return CopyRange(run.layer->fd(), run.first, fd, cluster, run.Bytes(guest_offset),
                       Holes::kLeave);
    }));
    RETURN_IF_ERROR(writer.WriteTable(index, std::span<const Cluster, kTableEntries>(table)));
  }
  const Qcow2Header& lowest = layers.back().header();
  return writer.Finish(lowest.backing, lowest.backing_format);
}

Status MergeIntoRaw(const Readers& layers, int fd) {
  const uint64_t size = layers.front().header().size_bytes;
  Merged merged;
  for (size_t index = 0; index < layers.front().tables(); ++index) {
    ASSIGN_OR_RETURN(const bool any, Collect(layers, index, merged));
    if (!any) continue;
    RETURN_IF_ERROR(ForEachRun(merged, index, [&](const Run& run, uint64_t guest_offset) -> Status {
      if (!IsData(run.first)) {
        return PunchHole(fd, guest_offset, std::min(run.count * kCluster, size - guest_offset));
      }
      return CopyRange(run.layer->fd(), run.first, fd, guest_offset, run.Bytes(guest_offset),
                       Holes::kPunch);
    }));
  }
  return {};
}

}  // namespace wrenn::disk
