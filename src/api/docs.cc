#include "api/docs.h"

#include "api/embedded.h"
#include "api/router.h"

namespace wrenn::api {
namespace {

constexpr std::string_view kStyle = R"(
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem;
       color: #1c1e21; background: #fff; }
table { border-collapse: collapse; width: 100%; }
td, th { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid #d8dce0;
         vertical-align: top; }
code, pre { font: 14px/1.4 ui-monospace, monospace; }
pre { background: #f4f5f7; padding: 1rem; overflow-x: auto; }
@media (prefers-color-scheme: dark) {
  body { color: #e6e8ea; background: #16181b; } td, th { border-color: #3a3f45; }
  pre { background: #202429; } a { color: #8ab4f8; }
})";

std::string EscapeHtml(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '&':
        out += "&amp;";
        break;
      default:
        out.push_back(c);
    }
  }
  return out;
}

}  // namespace

Page MakeDocsPage() {
  std::string rows;
  for (const Route& route : Routes()) {
    rows += fmt::format("<tr><td><code>{}</code></td><td><code>{}</code></td><td>{}{}</td></tr>\n",
                        route.method, EscapeHtml(route.pattern), EscapeHtml(route.summary),
                        route.open ? " (no key)" : "");
  }
  Page page;
  page.policy = fmt::format(
      "default-src 'none'; style-src {}; base-uri 'none'; form-action 'none'; "
      "frame-ancestors 'none'",
      HashSource(kStyle));
  page.html = fmt::format(
      "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
      "<meta name=\"viewport\" content=\"width=device-width\"><title>wrenn API</title>"
      "<style>{}</style></head><body>\n<h1>wrenn API</h1>\n"
      "<p>JSON over HTTP. Send the API key as <code>X-API-Key</code> or "
      "<code>Authorization: Bearer</code>. Errors are "
      "<code>{{\"error\":{{\"code\",\"message\"}}}}</code>. Everything in full is in "
      "<a href=\"/openapi.yaml\">openapi.yaml</a> (OpenAPI 3.1), below as well. To try it: "
      "<a href=\"/test\">the test console</a>.</p>\n"
      "<table><tr><th>Method</th><th>Path</th><th>What it does</th></tr>\n{}</table>\n"
      "<h2>Specification</h2>\n<pre>{}</pre>\n</body></html>\n",
      kStyle, rows, EscapeHtml(kOpenApiYaml));
  return page;
}

}  // namespace wrenn::api
