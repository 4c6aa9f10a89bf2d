// What the server's own pages for people have in common.
#pragma once

#include <string>
#include <string_view>

#include "api/context.h"

namespace wrenn::api {

// A page that is whole in itself: nothing is loaded from elsewhere, and what is inline is named in
// its policy by its hash.
struct Page {
  std::string html;
  std::string policy;  // Content-Security-Policy
};

// 'sha256-...' of an inline style or script, as a policy names it (CSP level 3, section 2.3.1).
std::string HashSource(std::string_view block);

Status RespondPage(Context& context, const Page& page);

}  // namespace wrenn::api
