// What needs no key: health, the specification, the pages for people.
#include "api/console.h"
#include "api/docs.h"
#include "api/embedded.h"
#include "api/handlers.h"

namespace wrenn::api {

Status GetHealth(Context& context) {
  const vmm::EngineInfo& engine = context.services.manager.engine();
  const sandbox::Protections on = context.services.manager.protections();
  return context.RespondJson(
      200, json::object{
               {"status", "ok"},
               {"version", context.services.version},
               {"engine",
                {{"name", engine.name},
                 {"version", engine.version},
                 {"acceleration", engine.acceleration},
                 {"explanation", engine.explanation},
                 {"security_boundary", engine.security_boundary},
                 {"user_network", engine.user_network || on.slots},
                 {"snapshots", engine.snapshots}}},
               {"isolation", {{"jail", on.jail}, {"cgroups", on.cgroups}, {"slots", on.slots}}}});
}

Status GetOpenApi(Context& context) {
  return context.exchange.Respond(200, "application/yaml", kOpenApiYaml);
}

Status GetDocs(Context& context) {
  static const Page page = MakeDocsPage();
  return RespondPage(context, page);
}

Status GetConsole(Context& context) {
  static const Page page = MakeConsolePage();
  return RespondPage(context, page);
}

}  // namespace wrenn::api
