// Files that are part of the program.
#pragma once

#include <string_view>

namespace wrenn::api {

extern const std::string_view kOpenApiYaml;  // openapi.yaml
// The test console, of console/: the page, with @STYLE@ and @SCRIPT@ where these go.
extern const std::string_view kConsoleHtml;
extern const std::string_view kConsoleStyle;
extern const std::string_view kConsoleScript;

}  // namespace wrenn::api
