#include "api/console.h"

#include "api/embedded.h"

namespace wrenn::api {
namespace {

std::string Replace(std::string text, std::string_view mark, std::string_view by) {
  return text.replace(text.find(mark), mark.size(), by);
}

}  // namespace

Page MakeConsolePage() {
  Page page;
  // Trusted types with no policy at all: no script can make markup of a text, whatever it holds.
  // Pictures are the page's icon, which is in the page itself.
  page.policy = fmt::format(
      "default-src 'none'; script-src {}; style-src {}; img-src data:; connect-src 'self'; "
      "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
      "require-trusted-types-for 'script'; trusted-types 'none'",
      HashSource(kConsoleScript), HashSource(kConsoleStyle));
  page.html = Replace(std::string(kConsoleHtml), "@STYLE@", kConsoleStyle);
  page.html = Replace(std::move(page.html), "@SCRIPT@", kConsoleScript);
  return page;
}

}  // namespace wrenn::api
