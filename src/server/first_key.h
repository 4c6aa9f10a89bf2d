// The key that is made at the first start, for whoever may read the root.
#pragma once

#include "os/paths.h"
#include "store/store.h"

namespace wrenn::server {

// Makes a key and writes it to the root's key file (mode 0600) when there is none. A key file of an
// earlier store is taken into a store without any keys. Whether a key was made.
Result<bool> EnsureKey(const os::Paths& paths, store::Store& store);

}  // namespace wrenn::server
