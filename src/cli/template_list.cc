#include "cli/template_list.h"

#include <unistd.h>

#include "api/views.h"
#include "base/encoding.h"
#include "cli/api.h"
#include "cli/invocation.h"
#include "cli/local.h"
#include "cli/output.h"
#include "cli/spinner.h"
#include "cli/table.h"
#include "cli/terminal.h"
#include "template/catalogue.h"

namespace wrenn::cli {
namespace {

// Whether the server is to be asked. One elsewhere is in any case: the records here are not its.
bool AskServer(const Api& api) { return !api.IsLocal() || api.Answers(); }

}  // namespace

Result<json::array> ListTemplates(std::string_view type) {
  ASSIGN_OR_RETURN(const Api api, Api::FromEnvironment());
  if (AskServer(api)) {
    const std::string target =
        type.empty() ? "/v1/templates" : fmt::format("/v1/snapshots?type={}", type);
    ASSIGN_OR_RETURN(json::value answer, api.Call("GET", target));
    if (!answer.is_array()) return Fail(Code::kInternal, "the server's answer is no list");
    return std::move(answer.get_array());
  }
  const auto local = OpenExistingLocal();
  if (!local && local.error().code == Code::kNotFound) return json::array();
  if (!local) return Fail(local.error());
  const auto catalogue = template_::MakeCatalogue(local->paths, *local->store);
  ASSIGN_OR_RETURN(const auto records, catalogue->List(store::kDefaultTenant));
  json::array list;
  for (const auto& record : records) {
    if (type.empty() || record.type == type) list.push_back(api::TemplateView(record));
  }
  return list;
}

Result<json::object> FindTemplate(const std::string& name) {
  ASSIGN_OR_RETURN(const Api api, Api::FromEnvironment());
  if (AskServer(api)) {
    ASSIGN_OR_RETURN(json::value answer, api.Call("GET", "/v1/snapshots/" + PercentEncode(name)));
    if (!answer.is_object()) return Fail(Code::kInternal, "the server's answer is no object");
    return std::move(answer.get_object());
  }
  ASSIGN_OR_RETURN(const Local local, OpenExistingLocal());
  const auto record = local.store->FindTemplate(store::kDefaultTenant, name);
  if (!record && record.error().code == Code::kNotFound) {
    return Fail(Code::kNotFound, "no template '{}': see 'wrenn template ls'", name);
  }
  if (!record) return Fail(record.error());
  json::object object = api::TemplateView(*record);
  object["image"] = record->image;
  object["kernel"] = record->kernel;
  return object;
}

void PrintTemplates(const json::array& templates, bool as_json, std::string_view none) {
  if (as_json) {
    PrintJson(templates);
    return;
  }
  const auto now = std::chrono::system_clock::now();
  Table table({"NAME", "TYPE", "VCPUS", "MEMORY", "SIZE", "AGE", "DESCRIPTION"});
  for (const json::value& item : templates) {
    if (!item.is_object()) continue;
    JsonReader reader(item.get_object());
    table.Add({reader.String("name"), reader.String("type"),
               std::to_string(reader.Int("vcpus", 0, 0, INT64_MAX)),
               fmt::format("{} MiB", reader.Int("memory_mb", 0, 0, INT64_MAX)),
               FormatBytes(static_cast<uint64_t>(reader.Int("size_bytes", 0, 0, INT64_MAX))),
               FormatAge(reader.String("created_at"), now), reader.String("description")});
  }
  fmt::print("{}", table.Format());
  if (templates.empty() && IsTerminal(STDERR_FILENO)) PrintNote(none);
}

Result<int> RemoveTemplates(const std::vector<std::string>& names, bool as_json) {
  ASSIGN_OR_RETURN(const Api api, Api::FromEnvironment());
  const bool by_server = AskServer(api);
  int code = kSuccess;
  json::array gone;
  for (const std::string& name : names) {
    const auto remove = [&]() -> Status {
      if (by_server) {
        RETURN_IF_ERROR(api.Call("DELETE", "/v1/snapshots/" + PercentEncode(name)));
        return {};
      }
      ASSIGN_OR_RETURN(const Local local, OpenExistingLocal());
      return template_::MakeCatalogue(local.paths, *local.store)
          ->Remove(store::kDefaultTenant, name);
    };
    Spinner spinner("removing '" + name + "'");
    const Status removed = remove();
    spinner.Stop();
    if (!removed) {
      PrintError(removed.error());
      code = kFailure;
    } else if (as_json) {
      gone.push_back(json::object{{"name", name}});
    } else {
      fmt::print("{}\n", name);
    }
  }
  if (as_json) PrintJson(gone);
  return code;
}

}  // namespace wrenn::cli
