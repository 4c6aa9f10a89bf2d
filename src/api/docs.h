// The reference page: the routes as they are, and the specification.
#pragma once

#include "api/page.h"

namespace wrenn::api {

// It has no scripts at all.
Page MakeDocsPage();

}  // namespace wrenn::api
