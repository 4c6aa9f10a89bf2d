// Records as the API shows them: the schemas of openapi.yaml.
#pragma once

#include "base/json.h"
#include "sandbox/manager.h"
#include "snapshot/verify.h"
#include "store/store.h"
#include "wire/agent_api.h"

namespace wrenn::api {

// Without environment variables and tokens, which may be secrets.
json::object SandboxView(const store::SandboxRecord& record);
// The same with what is looked up for it alone.
json::object SandboxDetailsView(const store::SandboxRecord& record,
                                const std::optional<uint64_t>& disk_used);
json::object EventView(const store::EventRecord& event);
json::object TemplateView(const store::TemplateRecord& record);
// Of the manifest all but the secret.
json::object TemplateDetailsView(const sandbox::TemplateDetails& details);
json::object VerdictView(const snapshot::Verdict& verdict);
json::object ProcessView(const wire::ProcessInfo& info);
json::object EntryView(const wire::EntryInfo& entry);
json::object MetricsView(const wire::GuestMetrics& metrics, const sandbox::HostUse& host);

template <typename T, typename View>
json::array ListView(const std::vector<T>& items, View view) {
  json::array array;
  array.reserve(items.size());
  for (const T& item : items) array.push_back(view(item));
  return array;
}

}  // namespace wrenn::api
