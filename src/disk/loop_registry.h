// LoopRegistry: one read-only loop device for each base image, shared by all disks over it.
#pragma once

#include <map>
#include <mutex>
#include <string>

#include "base/deadline.h"
#include "base/result.h"
#include "os/loop_device.h"

namespace wrenn::disk {

// Counts by the image file's identity, so that links of one file count as one. Thread-safe. It must
// outlive its leases; when all are gone, it has nothing.
class LoopRegistry {
 public:
  // One use of a device. Ending it lets go without waiting.
  class Lease {
   public:
    Lease(Lease&& other) noexcept;
    Lease& operator=(Lease&&) = delete;
    ~Lease() { (void)Release(Deadline::After({})); }

    dev_t device() const { return device_; }

    // Lets go; the last one waits until the device is detached. kDeadlineExceeded when something
    // else still uses it then (a target that was not removed, say): it goes with that. Harmless
    // when done twice.
    Status Release(Deadline deadline);

   private:
    friend class LoopRegistry;
    Lease(LoopRegistry* registry, unsigned number, dev_t device)
        : registry_(registry), number_(number), device_(device) {}

    LoopRegistry* registry_;
    unsigned number_;
    dev_t device_;
  };

  // The image's device, attached if this is its first use. It goes through the page cache, which
  // holds the image once for all disks over it.
  Result<Lease> Acquire(const std::string& image);

  // The same for a device that an earlier server attached. kNotFound when it is not attached to
  // this image.
  Result<Lease> Adopt(const std::string& image, unsigned number);

  // How many devices there are.
  size_t size() const;

 private:
  struct Entry {
    os::LoopDevice device;
    int users = 0;
  };

  Lease Use(Entry& entry);
  Status Drop(unsigned number, Deadline deadline);

  mutable std::mutex mutex_;
  std::map<unsigned, Entry> entries_;  // by the device's number
};

}  // namespace wrenn::disk
