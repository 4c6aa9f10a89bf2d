// Root file systems: an ext4 image out of a folder, by mke2fs -d. Nothing is mounted, so no rights
// on the machine are needed.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/result.h"
#include "template/workspace.h"

namespace wrenn::template_ {

struct Ext4Request {
  std::string tree;         // the folder that becomes the root
  std::string image;        // the file to make
  uint64_t size_bytes = 0;  // of the file system; 0: what the tree needs and `room_bytes`
  uint64_t room_bytes = 0;
  std::string identity;  // the same one gives the same file system UUID and hash seed
  std::vector<std::string>
      wrapper;  // a command in front of mke2fs, e.g. fakeroot with a state file
};

// What a tree takes in a file system.
struct TreeSize {
  uint64_t bytes = 0;  // of data, in whole 4 KiB blocks
  uint64_t inodes = 0;
};
Result<TreeSize> MeasureTree(const std::string& tree);

// Makes the image: sparse, without a journal (a machine that is killed never boots from the same
// disk again, and what it writes would be written twice), all blocks free for the guest's root,
// tables marked as initialised, so that the guest's kernel need not write them. Owners, modes,
// extended attributes and links are the tree's. kInvalidArgument when `size_bytes` is too small.
Status MakeExt4(const Workspace& workspace, const Ext4Request& request);

// Sets the owner of files in an image, for trees made by a user who could not: `owner_of` gets each
// path of `tree` as the guest sees it ("/bin/sh"). Paths must be free of spaces and quotes.
struct Owner {
  uid_t uid = 0;
  gid_t gid = 0;
};
Status SetOwners(const Workspace& workspace, const std::string& image, const std::string& tree,
                 const std::function<Owner(const std::string&)>& owner_of);

}  // namespace wrenn::template_
