// The reference page: the routes as they are, and the specification.
#pragma once

#include <string>

namespace wrenn::api {

struct DocsPage {
  std::string html;
  std::string policy;  // Content-Security-Policy: nothing from elsewhere, no scripts at all
};

DocsPage MakeDocsPage();

}  // namespace wrenn::api
