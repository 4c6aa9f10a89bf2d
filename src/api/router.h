// Router: which route a request is for.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "api/context.h"

namespace wrenn::api {

struct Route {
  std::string_view method;
  std::string_view pattern;  // "/v1/sandboxes/{id}/exec": a {part} takes one segment of the path
  Handler handler;
  std::string_view summary;
  bool open = false;  // needs no key
};

struct RouteMatch {
  const Route* route = nullptr;     // null when no route is at this path for this method
  std::vector<std::string> params;  // what the {parts} took, percent-decoded, in order
  std::string allow;                // methods that the path has, for 405; empty: unknown path
};

// HEAD finds the route of GET (RFC 9110 section 9.3.2).
// Segments are compared before they are decoded, so an escaped slash never moves a boundary.
RouteMatch MatchRoute(std::span<const Route> routes, std::string_view method,
                      std::string_view path);

// The names of a pattern's {parts}, in order.
std::vector<std::string_view> ParamNames(std::string_view pattern);

// Every route of the API: the one place where they are listed.
std::span<const Route> Routes();

}  // namespace wrenn::api
