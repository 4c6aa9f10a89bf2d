#include "snapshot/flatten.h"

#include "memory/flatten.h"
#include "os/files.h"
#include "snapshot/folder.h"

namespace wrenn::snapshot {

Status FlattenMemory(const std::string& place) {
  ASSIGN_OR_RETURN(Manifest manifest, Open(place));
  ASSIGN_OR_RETURN(const memory::Image image, memory::Load(place));
  if (!memory::WantsFlatten(image)) return {};
  ASSIGN_OR_RETURN(const memory::Image flat, memory::Flatten(image, place, place));
  RETURN_IF_ERROR(memory::Save(flat, place));
  for (const memory::ImageFile& file : image.files) {
    RETURN_IF_ERROR(os::RemoveTree(place + "/" + file.name));
  }
  return Seal(place, manifest);
}

}  // namespace wrenn::snapshot
