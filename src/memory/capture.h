// All that takes an image of a machine's memory.
#pragma once

#include "memory/copy.h"            // IWYU pragma: export
#include "memory/process_memory.h"  // IWYU pragma: export
#include "memory/writer.h"          // IWYU pragma: export
