// Layers: a sandbox's disk as a chain of files in one folder.
//
//   disk-<20 characters of [a-z0-9]>.qcow2   what differs from the layer below, named "./<name>"
//                                            in it; the lowest one may name the base image
//   disk-<20 characters of [a-z0-9]>.raw     a whole disk; only ever the lowest
//   disk-<20 characters of [a-z0-9]>.cow     what differs from the base image, as the kernel writes
//   it
//                                            (cow_file.h); only ever alone
//
// Names are unique for ever, so layers can be hard-linked from folder to folder under their names.
// A layer is written by one VMM as long as it is the top one, and never again after that
// (docs/adr/0006-snapshots.md). What a VMM wrote is hostile: see Qcow2Reader.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"

namespace wrenn::disk {

enum class Format { kRaw, kQcow2, kCow };

struct Layer {
  std::string name;
  Format format = Format::kQcow2;
  friend bool operator==(const Layer&, const Layer&) = default;
};
using Layers = std::vector<Layer>;  // top first

// The most layers of a disk that are accepted from outside.
inline constexpr size_t kMaxLayers = 256;

// A layer with a new name; nothing is made.
Layer NewLayer(Format format);

// A layer from its name, whose ending says the format. kInvalidArgument for anything that
// NewLayer() would not have made, so that no other name reaches a path.
Result<Layer> ParseLayer(std::string_view name);

// A disk from its layers' names, top first: 1 to kMaxLayers different ones, raw only the last, cow
// only one.
// kInvalidArgument otherwise.
Result<Layers> ParseLayers(const std::vector<std::string>& names);
std::vector<std::string> LayerNames(const Layers& layers);
json::array ToJson(const Layers& layers);

// The layers that lie in a folder, in no order; none when the folder is absent.
Result<Layers> FindLayers(const std::string& directory);

// Makes an empty qcow2 layer over `below`, which lies in the same folder. `size_bytes` is its size
// to the guest, at least that of `below`; 0: the same; rounded up to whole sectors of 512 bytes.
// Not synced: it is empty, and whoever needs it to last syncs what was written to it. On failure
// nothing is left. kInvalidArgument: smaller than what is below, or over a file of changes;
// kDataLoss: `below` is damaged.
Result<Layer> AddLayer(const std::string& directory, const Layer& below, uint64_t size_bytes);

// What must stay free where files of changes are written, in bytes: the kernel ends a disk when one
// of its writes finds no room.
inline constexpr uint64_t kRoomForChanges = uint64_t{256} << 20;

// Copies a file of changes that nobody is writing (its DmSnapshot is removed, or suspended) into
// another folder, as a layer with a name of its own. `size_bytes` as for AddLayer(). Its blocks are
// shared where the file system can. Not synced. On failure nothing is left. kResourceExhausted:
// less than kRoomForChanges would stay free; errors of ReadCowHeader().
Result<Layer> CopyChanges(const std::string& from, const Layer& layer, const std::string& to,
                          uint64_t size_bytes);

// Whether a disk is a file of changes, of which a VMM gets a device that is made of it.
inline bool NeedsDevice(std::string_view path) { return path.ends_with(".cow"); }

// Hard-links layers from one folder into another on the same file system; a link that is there
// already stays. The new names are not synced. On failure the links that it made are gone again.
// kAlreadyExists: another file has the name; kNotFound: a layer is missing.
Status LinkLayers(const Layers& layers, const std::string& from, const std::string& to);

// Removes layers; one that is absent is fine. Tries all, and answers the first failure.
Status RemoveLayers(const std::string& directory, const Layers& layers);

// The size in bytes that the guest sees, of a layer or a raw image. The format is that of the name
// (".qcow2", ".cow", else raw) and never guessed from the content, which a guest could have made to
// look like another. kDataLoss or kUnimplemented for a qcow2 header that Qcow2Reader refuses.
Result<uint64_t> VirtualSize(const std::string& path);

// Checks that each layer names the next as what is below it and the lowest, unless it is raw, names
// `base`: a VMM that its guest took over may have made it name any file of the host's, which the
// next VMM would open. Nothing but the layers' headers is read. kDataLoss when one does not;
// kUnimplemented as by VirtualSize().
Status CheckLayers(const std::string& directory, const Layers& layers, const std::string& base);

// Makes one new layer out of the top `count` of a disk's layers, which nobody may be writing. It
// reads as they do, and lies over what the lowest of them lies over; if that one is raw, it is raw
// too. Data is copied within the kernel, or shared where the file system can; holes are kept.
// Durable when it returns; on failure nothing is left. The merged layers stay. kInvalidArgument:
// not 1 to all layers, or a file of changes (see Flatten()); kDataLoss: a layer is damaged, does
// not belong to this chain, or is smaller than what is below it; kUnimplemented: it has what wrenn
// does not make; kResourceExhausted: no room. (It is in layers_merge.cc.)
Result<Layer> MergeLayers(const std::string& directory, const Layers& layers, size_t count);

// Writes a disk over `base` as one whole raw image to the new file `to`: what the disk is over no
// longer matters. Holes are kept, and blocks shared where the file system can. Nobody may be
// writing to it: a DmSnapshot of it must be removed, or suspended. Durable when it returns, but for
// the name; on failure nothing is left. Errors as by CheckLayers() and MergeLayers();
// kAlreadyExists: there is a file `to`. (It is in layers_merge.cc.)
Status Flatten(const std::string& directory, const Layers& layers, const std::string& base,
               const std::string& to);

}  // namespace wrenn::disk
