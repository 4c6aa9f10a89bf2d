#include "api/router.h"

#include "base/encoding.h"

namespace wrenn::api {
namespace {

bool IsParam(std::string_view segment) { return segment.starts_with('{'); }

// Takes the next segment, without slashes, off `path`, which begins with one.
std::string_view TakeSegment(std::string_view& path) {
  path.remove_prefix(1);
  const std::string_view segment = path.substr(0, path.find('/'));
  path.remove_prefix(segment.size());
  return segment;
}

bool Matches(std::string_view pattern, std::string_view path, std::vector<std::string>& params) {
  while (pattern.starts_with('/') && path.starts_with('/')) {
    const std::string_view expected = TakeSegment(pattern);
    const std::string_view segment = TakeSegment(path);
    if (!IsParam(expected)) {
      if (segment != expected) return false;
      continue;
    }
    auto value = PercentDecode(segment);
    if (!value || value->empty()) return false;
    params.push_back(std::move(*value));
  }
  return pattern.empty() && path.empty();
}

}  // namespace

RouteMatch MatchRoute(std::span<const Route> routes, std::string_view method,
                      std::string_view path) {
  // The exchange leaves the body of an answer to HEAD out.
  if (method == "HEAD") method = "GET";
  RouteMatch match;
  for (const Route& route : routes) {
    std::vector<std::string> params;
    if (!Matches(route.pattern, path, params)) continue;
    if (route.method == method) {
      match.route = &route;
      match.params = std::move(params);
      return match;
    }
    if (!match.allow.empty()) match.allow += ", ";
    match.allow += route.method;
    if (route.method == "GET") match.allow += ", HEAD";
  }
  return match;
}

std::vector<std::string_view> ParamNames(std::string_view pattern) {
  std::vector<std::string_view> names;
  while (!pattern.empty()) {
    const std::string_view segment = TakeSegment(pattern);
    if (IsParam(segment)) names.push_back(segment.substr(1, segment.size() - 2));
  }
  return names;
}

}  // namespace wrenn::api
