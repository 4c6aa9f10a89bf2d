#include "api/router.h"

#include <gtest/gtest.h>

#include <set>

#include "api/embedded.h"

namespace wrenn::api {
namespace {

RouteMatch Match(std::string_view method, std::string_view path) {
  return MatchRoute(Routes(), method, path);
}

TEST(Router, FindsRoutesAndTheirParameters) {
  const RouteMatch match = Match("DELETE", "/v1/sandboxes/sb-1/processes/42");
  ASSERT_TRUE(match.route);
  EXPECT_EQ(match.route->pattern, "/v1/sandboxes/{id}/processes/{pid}");
  EXPECT_EQ(match.params, (std::vector<std::string>{"sb-1", "42"}));
}

TEST(Router, ParametersAreDecodedAfterSplitting) {
  EXPECT_EQ(Match("GET", "/v1/sandboxes/a%2Fb%20c").params, std::vector<std::string>{"a/b c"});
  EXPECT_FALSE(Match("GET", "/v1/sandboxes/%zz").route);
}

TEST(Router, UnknownPathsAndMethodsAreToldApart) {
  for (const char* path : {"/", "", "/v1", "/v1/", "/v1/sandboxes/", "/v1//sandboxes",
                           "/v1/sandboxes/x/", "/v1/sandboxes/x/nothing", "*", "/health/"}) {
    const RouteMatch match = Match("GET", path);
    EXPECT_FALSE(match.route) << path;
    EXPECT_EQ(match.allow, "") << path;
  }
  EXPECT_FALSE(Match("PATCH", "/v1/sandboxes").route);
  EXPECT_EQ(Match("PATCH", "/v1/sandboxes").allow, "POST, GET, HEAD");
  EXPECT_EQ(Match("HEAD", "/v1/sandboxes").route, Match("GET", "/v1/sandboxes").route);
  EXPECT_FALSE(Match("HEAD", "/v1/sandboxes/x/stop").route);
}

TEST(Router, EveryRouteIsThereOnceAndNeedsAKeyUnderV1) {
  std::set<std::string> seen;
  for (const Route& route : Routes()) {
    EXPECT_TRUE(seen.insert(fmt::format("{} {}", route.method, route.pattern)).second);
    EXPECT_EQ(route.open, !route.pattern.starts_with("/v1/")) << route.pattern;
  }
}

// Only as much YAML as openapi.yaml is written in: "paths:", then paths at two spaces, methods at
// four.
std::set<std::string> SpecifiedRoutes() {
  std::set<std::string> found;
  bool inside = false;
  std::string path;
  std::string_view rest = kOpenApiYaml;
  while (!rest.empty()) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(rest.size(), line.size() + 1));
    if (!line.starts_with(' ') && !line.empty()) inside = line == "paths:";
    if (!inside || !line.ends_with(':')) continue;
    const std::string_view name = line.substr(line.find_first_not_of(' '));
    if (line.starts_with("  /")) path = name.substr(0, name.size() - 1);
    for (const char* method : {"get", "post", "put", "delete", "patch", "head"}) {
      if (line == fmt::format("    {}:", method)) {
        std::string upper(method);
        for (char& c : upper) c = static_cast<char>(c - 'a' + 'A');
        found.insert(upper + " " + path);
      }
    }
  }
  return found;
}

TEST(Router, TheSpecificationHasExactlyTheseRoutes) {
  std::set<std::string> routes;
  for (const Route& route : Routes()) {
    routes.insert(fmt::format("{} {}", route.method, route.pattern));
  }
  EXPECT_EQ(routes, SpecifiedRoutes());
}

}  // namespace
}  // namespace wrenn::api
