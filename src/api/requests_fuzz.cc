// Requests of a client with a valid key and nothing else in mind than harm: any route, its query
// and its body. Each is answered, never by an error of the server's own, with JSON where it is an
// error, and what was refused has changed nothing.
//
// The first line has the route as it is listed, with its query: "POST /v1/sandboxes/{id}/fork?a=b".
// The rest is the body.
#include <algorithm>
#include <cstdint>
#include <cstdlib>

#include "api/api.h"
#include "api/errors.h"
#include "api/fake_manager.h"
#include "api/keys.h"
#include "api/router.h"
#include "api/views.h"
#include "os/files.h"
#include "wire/sockets.h"

namespace wrenn::api {
namespace {

const std::string kTenant(store::kDefaultTenant);

// What all requests share: a key, and a catalogue without templates.
struct World {
  World() {
    os::Paths paths;
    paths.root = directory.path();
    catalogue = template_::MakeCatalogue(paths, *store);
    if (!store->AddKey(MakeKeyRecord(key, "fuzz"))) std::abort();
  }

  os::TemporaryDirectory directory = *os::TemporaryDirectory::Make();
  std::unique_ptr<store::Store> store = *store::OpenSqlite(directory.path() + "/wrenn.db");
  std::unique_ptr<template_::Catalogue> catalogue;
  std::string key = MakeKey();
};

std::string PathOf(std::string_view pattern, const std::string& sandbox) {
  std::string path;
  while (!pattern.empty()) {
    const size_t open = pattern.find('{');
    path += pattern.substr(0, open);
    if (open == std::string_view::npos) break;
    const size_t close = pattern.find('}');
    const std::string_view name = pattern.substr(open + 1, close - open - 1);
    path += name == "id" ? sandbox : name == "pid" ? "1" : "snap";
    pattern.remove_prefix(close + 1);
  }
  return path;
}

// All that a request could change, as text. `last_active_at` is left out: to ask is to use.
std::string StateOf(FakeManager& manager) {
  std::string text;
  auto records = *manager.List(kTenant);
  for (store::SandboxRecord& record : records) {
    record.last_active_at = {};
    text += json::serialize(SandboxView(record)) + "\n";
  }
  const auto snapshot = manager.InspectTemplate(kTenant, "snap");
  return text + (snapshot ? snapshot->record.id : "none");
}

std::string ReadAll(wire::ByteStream& stream) {
  std::string all;
  char buffer[65536];
  for (;;) {
    const auto got = stream.Read(buffer, Deadline::After(std::chrono::seconds(1)));
    if (!got || *got == 0) return all;
    all.append(buffer, *got);
  }
}

void Ask(World& world, const Route& route, std::string_view query, std::string_view body) {
  FakeManager manager;
  sandbox::CreateRequest request;
  request.template_name = "minimal";
  const std::string sandbox = manager.Create(kTenant, std::move(request))->id;
  if (!manager.CreateSnapshot(kTenant, sandbox, "snap", false)) std::abort();
  auto api = Api::Make(manager, *world.catalogue, *world.store, {"1.2.3", {}, {}});
  auto pair = SocketPair();
  if (!api || !pair) std::abort();
  wire::ByteStream ours(std::move(pair->first));
  wire::ByteStream theirs(std::move(pair->second));

  wire::RequestHead head;
  head.method = route.method;
  head.target = PathOf(route.pattern, sandbox) + "?" + std::string(query);
  head.fields.Add("Host", "localhost");
  head.fields.Add("X-API-Key", world.key);
  head.fields.Add("Content-Length", std::to_string(body.size()));
  const auto length = wire::RequestBodyLength(head);
  const auto deadline = Deadline::After(std::chrono::seconds(1));
  if (!length || !ours.Write(body, deadline)) std::abort();

  const std::string before = StateOf(manager);
  {
    wire::Exchange exchange(theirs, head, wire::BodyReader(theirs, *length),
                            std::chrono::seconds(1));
    (*api)->Handle(exchange);
    if (!exchange.answered() || exchange.status() == 500) std::abort();
    if (exchange.status() >= 400 && StateOf(manager) != before) std::abort();
  }
  theirs.Shutdown();
  auto answer = wire::ParseResponseHead(*ours.ReadThrough("\r\n\r\n", 1 << 16, deadline));
  if (!answer) std::abort();
  const std::string text = ReadAll(ours);
  if (answer->status >= 400 && !ParseJsonObject(text)) std::abort();
}

void AskAnything(std::string_view input) {
  static World world;
  const size_t line = std::min(input.find('\n'), input.size());
  const std::string_view body = input.substr(std::min(line + 1, input.size()));
  const std::string_view target = input.substr(0, line);
  const size_t mark = std::min(target.find('?'), target.size());
  const std::string_view query = target.substr(std::min(mark + 1, target.size()));
  // The server lets nothing else into a target.
  if (!std::ranges::all_of(query, [](char c) { return c > ' ' && c < '\x7f'; })) return;
  for (const Route& route : Routes()) {
    if (target.substr(0, mark) == fmt::format("{} {}", route.method, route.pattern)) {
      Ask(world, route, query, body);
    }
  }
}

}  // namespace
}  // namespace wrenn::api

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  wrenn::api::AskAnything({reinterpret_cast<const char*>(data), std::min<size_t>(size, 32768)});
  return 0;
}
