// Files and folders between this machine and a sandbox.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "cli/api.h"

namespace wrenn::cli {

// What the guest knows of a path; nothing when there is nothing.
struct GuestEntry {
  bool is_folder = false;
  bool is_file = false;
  uint64_t size = 0;
  unsigned mode = 0;
};
Result<std::optional<GuestEntry>> StatGuest(const Api& api, const std::string& sandbox,
                                            const std::string& path, const std::string& user);

// Copies the bytes of a descriptor to a file in the guest, which is the old one or the new one
// whatever happens. `length`: how many there will be, when that is known. Memory use is constant,
// as for all below.
Status UploadFile(const Api& api, const std::string& sandbox, int from,
                  std::optional<uint64_t> length, const std::string& path, const std::string& user);

// Gives the bytes of a file in the guest to `sink`.
Status DownloadFile(const Api& api, const std::string& sandbox, const std::string& path,
                    const std::string& user, const std::function<Status(std::string_view)>& sink);

// Copies what is in a local folder into a folder of the guest, which is made when absent.
Status UploadFolder(const Api& api, const std::string& sandbox, const std::string& folder,
                    const std::string& path, const std::string& user);

// Copies what is in a folder of the guest into the empty local folder `folder`.
Status DownloadFolder(const Api& api, const std::string& sandbox, const std::string& path,
                      const std::string& folder, const std::string& user);

// Sets a file's permission bits in the guest.
Status SetGuestMode(const Api& api, const std::string& sandbox, const std::string& path,
                    unsigned mode, const std::string& user);

}  // namespace wrenn::cli
