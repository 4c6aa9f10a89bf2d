#include "sandbox/room_watch.h"

#include "disk/layers.h"
#include "os/files.h"

namespace wrenn::sandbox {
namespace {

using std::chrono::milliseconds;

// What all guests together may write between two looks must fit in what is left then.
constexpr uint64_t kFull = disk::kRoomForChanges;
constexpr uint64_t kRoomAgain = kFull + (uint64_t{64} << 20);
constexpr uint64_t kMuch = uint64_t{16} << 30;
constexpr milliseconds kOften{200};
constexpr milliseconds kSeldom{2'000};

}  // namespace

Deadline RoomWatch::Look() {
  if (!services_.host.disks) return Deadline::Never();
  if (Deadline::Clock::now() < next_) return Deadline::At(next_);
  const auto free = os::FreeDiskBytes(services_.config.paths.root);
  // One that was filled more quickly than the disk is looked at.
  for (const auto& sandbox : directory_.Live()) sandbox->CheckDisk();
  // Who cannot look holds nobody up.
  const bool full = free && *free < (full_ ? kRoomAgain : kFull);
  const bool changed = full != full_;
  full_ = full;
  // While it is full also those that have started meanwhile.
  if (full || changed || failed_) {
    failed_ = false;
    for (const auto& sandbox : directory_.Live()) {
      if (!sandbox->HoldDisk(full)) failed_ = true;
    }
  }
  next_ = Deadline::Clock::now() + (free && *free > kMuch ? kSeldom : kOften);
  return Deadline::At(next_);
}

}  // namespace wrenn::sandbox
