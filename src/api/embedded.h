// Files that are part of the program.
#pragma once

#include <string_view>

namespace wrenn::api {

extern const std::string_view kOpenApiYaml;  // openapi.yaml

}  // namespace wrenn::api
