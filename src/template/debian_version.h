// Which of two Debian versions is the newer one.
#pragma once

#include <string_view>

namespace wrenn::template_ {

// Below 0 when `a` is older than `b`, 0 when they are equal, above 0 when it is newer. By the order
// of Debian Policy 5.6.12 (dpkg --compare-versions); any text is taken.
int CompareVersions(std::string_view a, std::string_view b);

}  // namespace wrenn::template_
