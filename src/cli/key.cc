// wrenn key: the keys that the API takes. They are records of the root, server or not.
#include <memory>

#include <CLI/App.hpp>

#include "api/keys.h"
#include "base/encoding.h"
#include "base/id.h"
#include "cli/commands.h"
#include "cli/invocation.h"
#include "cli/local.h"
#include "cli/output.h"
#include "cli/table.h"

namespace wrenn::cli {
namespace {

struct Options {
  std::string name;
  bool e2b = false;
  bool json = false;
  std::vector<std::string> ids;
};

// E2B's clients insist on this shape.
std::string NewKey(bool e2b) { return e2b ? "e2b_" + RandomHex(40) : api::MakeKey(); }

Result<int> Create(const Options& options) {
  if (!options.name.empty() && !IsName(options.name)) {
    return Fail(
        Code::kInvalidArgument,
        "'{}' is no name: 1 to 63 of a-z, 0-9, '.', '_', '-', a letter or digit at each end",
        options.name);
  }
  ASSIGN_OR_RETURN(const Local local, OpenLocal());
  const std::string key = NewKey(options.e2b);
  const store::KeyRecord record = api::MakeKeyRecord(key, options.name);
  RETURN_IF_ERROR(local.store->AddKey(record));
  if (options.json) {
    PrintJson(json::object{{"id", record.id}, {"name", record.name}, {"key", key}});
  } else {
    fmt::print("{}\n", key);
    fmt::print(stderr, "This is the only time it is shown. To take it back: wrenn key revoke {}\n",
               record.id);
  }
  return kSuccess;
}

std::string TimeText(const std::optional<store::Time>& time) {
  return time ? FormatTime(*time) : std::string();
}

Result<int> List(const Options& options) {
  ASSIGN_OR_RETURN(const Local local, OpenExistingLocal());
  ASSIGN_OR_RETURN(const auto keys, local.store->ListKeys(store::kDefaultTenant));
  const auto now = std::chrono::system_clock::now();
  json::array list;
  Table table({"ID", "NAME", "KEY", "AGE", "USED"});
  for (const store::KeyRecord& key : keys) {
    const std::string created = TimeText(key.created_at);
    const std::string used = TimeText(key.last_used_at);
    table.Add({key.id, key.name, key.hint + "...", FormatAge(created, now),
               used.empty() ? "never" : FormatAge(used, now) + " ago"});
    json::object row = {
        {"id", key.id}, {"name", key.name}, {"hint", key.hint}, {"created_at", created}};
    if (!used.empty()) row["last_used_at"] = used;
    list.push_back(std::move(row));
  }
  if (options.json) {
    PrintJson(list);
  } else {
    fmt::print("{}", table.Format());
  }
  return kSuccess;
}

// The id of the key that is named by id or by name.
Result<std::string> FindKey(const std::vector<store::KeyRecord>& keys, const std::string& text) {
  std::vector<std::string> found;
  for (const store::KeyRecord& key : keys) {
    if (key.id == text || (!key.name.empty() && key.name == text)) found.push_back(key.id);
  }
  if (found.size() == 1) return found[0];
  if (found.empty()) return Fail(Code::kNotFound, "no key '{}': see 'wrenn key list'", text);
  return Fail(Code::kInvalidArgument, "{} keys have the name '{}': give the id", found.size(),
              text);
}

Result<int> Revoke(const Options& options) {
  ASSIGN_OR_RETURN(const Local local, OpenExistingLocal());
  ASSIGN_OR_RETURN(const auto keys, local.store->ListKeys(store::kDefaultTenant));
  std::vector<std::string> ids;
  for (const std::string& text : options.ids) {
    ASSIGN_OR_RETURN(std::string id, FindKey(keys, text));
    ids.push_back(std::move(id));
  }
  for (const std::string& id : ids) {
    RETURN_IF_ERROR(local.store->RemoveKey(id));
    fmt::print("{}\n", id);
  }
  return kSuccess;
}

}  // namespace

void AddKey(CLI::App& app, Invocation& invocation) {
  auto* key = app.add_subcommand("key", "Make, list and revoke API keys");
  key->require_subcommand(1);
  key->footer(
      "Works on this machine's records (WRENN_ROOT), with the server running or not.\n\n"
      "Examples:\n"
      "  wrenn key create --name ci\n"
      "  wrenn key revoke ci");
  auto options = std::make_shared<Options>();

  auto* create = key->add_subcommand("create", "Make a key and print it, once");
  create->add_option("--name", options->name, "What it is for")->type_name("NAME");
  create->add_flag("--e2b", options->e2b, "In the shape that E2B's SDKs insist on");
  create->add_flag("--json", options->json, "As JSON");
  create->callback(
      [&invocation, options] { invocation.run = [options] { return Create(*options); }; });

  auto* list = key->add_subcommand("list", "List keys by their first characters");
  list->alias("ls");
  list->add_flag("--json", options->json, "As JSON");
  list->callback([&invocation, options] { invocation.run = [options] { return List(*options); }; });

  auto* revoke = key->add_subcommand("revoke", "Take keys back, by id or name");
  revoke->add_option("KEY", options->ids, "Ids or names")->required();
  revoke->callback(
      [&invocation, options] { invocation.run = [options] { return Revoke(*options); }; });
}

}  // namespace wrenn::cli
