// The test console: a page that does with a key what a person wants to try of the API.
#pragma once

#include "api/page.h"

namespace wrenn::api {

// Made of the files in console/.
Page MakeConsolePage();

}  // namespace wrenn::api
