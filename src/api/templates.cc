// Templates, also under the name that the source system has for them: snapshots.
#include "api/handlers.h"
#include "api/views.h"
#include "base/id.h"

namespace wrenn::api {

Status ListTemplates(Context& context) {
  ASSIGN_OR_RETURN(const auto records, context.services.catalogue.List(context.tenant));
  return context.RespondJson(200, ListView(records, TemplateView));
}

Status ListSnapshots(Context& context) {
  const std::string type = context.Param("type");
  if (!type.empty() && type != "base" && type != "snapshot") {
    return Fail(Code::kInvalidArgument, "type must be base or snapshot, not '{}'", type);
  }
  ASSIGN_OR_RETURN(auto records, context.services.catalogue.List(context.tenant));
  if (!type.empty())
    std::erase_if(records, [&](const auto& record) { return record.type != type; });
  return context.RespondJson(200, ListView(records, TemplateView));
}

Status CreateSnapshot(Context& context) {
  ASSIGN_OR_RETURN(const bool overwrite, context.BoolParam("overwrite"));
  ASSIGN_OR_RETURN(const json::object body, context.ReadJson());
  JsonReader reader(body);
  const std::string sandbox_id = reader.RequiredString("sandbox_id");
  std::string name = reader.String("name");
  RETURN_IF_ERROR(reader.FinishStrict());
  ASSIGN_OR_RETURN(const store::TemplateRecord record,
                   context.services.manager.CreateSnapshot(context.tenant, sandbox_id,
                                                           std::move(name), overwrite));
  context.exchange.AddField("Location", "/v1/snapshots/" + record.name);
  return context.RespondJson(201, TemplateView(record));
}

Status GetSnapshot(Context& context) {
  ASSIGN_OR_RETURN(const sandbox::TemplateDetails details,
                   context.services.manager.InspectTemplate(context.tenant, context.params.at(0)));
  return context.RespondJson(200, TemplateDetailsView(details));
}

Status VerifySnapshot(Context& context) {
  ASSIGN_OR_RETURN(const snapshot::Verdict verdict,
                   context.services.manager.VerifyTemplate(context.tenant, context.params.at(0)));
  return context.RespondJson(200, VerdictView(verdict));
}

Status DeleteSnapshot(Context& context) {
  const std::string& name = context.params.at(0);
  if (!IsName(name)) return Fail(Code::kNotFound, "no template '{}'", name);
  RETURN_IF_ERROR(context.services.catalogue.Remove(context.tenant, name));
  return context.exchange.RespondEmpty(204);
}

}  // namespace wrenn::api
