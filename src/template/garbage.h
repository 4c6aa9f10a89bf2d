// Garbage: images and kernel bundles that nothing refers to.
#pragma once

#include "base/result.h"
#include "os/file_lock.h"
#include "os/paths.h"
#include "store/store.h"

namespace wrenn::template_ {

// Whether a sandbox still needs its image and kernel: it has not ended.
bool NeedsFiles(const store::SandboxRecord& sandbox);

// Removes the images and kernel bundles that no template and no living sandbox refers to.
// `catalogue_lock` is LockCatalogue()'s: without it what a build is about to refer to would go.
Status CollectGarbage(const os::Paths& paths, store::Store& store,
                      const os::FileLock& catalogue_lock);

}  // namespace wrenn::template_
