#include "guest/agent/filesystem_service.h"

#include <poll.h>
#include <sys/stat.h>

#include <array>

#include "guest/agent/process_service.h"
#include "guest/files/entries.h"
#include "guest/files/folders.h"

namespace wrenn::guest {
namespace {

constexpr size_t kListFlush = 32 << 10;

Result<json::object> EntryReply(const std::string& path) {
  OwnerNames owners;
  ASSIGN_OR_RETURN(const wire::EntryInfo entry, DescribeEntry(path, owners));
  json::object reply;
  reply["entry"] = wire::ToJson(entry);
  return reply;
}

std::string EventEnvelopes(const std::vector<wire::FileEvent>& events) {
  std::string envelopes;
  for (const wire::FileEvent& event : events) {
    json::object message;
    message["filesystem"] = wire::ToJson(event);
    envelopes += wire::FormatEnvelope(0, json::serialize(message));
  }
  return envelopes;
}

}  // namespace

bool FilesystemService::Handle(wire::Exchange& exchange, std::string_view method) {
  using Method = Result<json::object> (FilesystemService::*)(wire::Exchange&, const json::object&);
  struct Row {
    std::string_view name;
    Method method;
  };
  static constexpr std::array<Row, 8> kUnary = {{
      {"Stat", &FilesystemService::Stat},
      {"MakeDir", &FilesystemService::MakeDir},
      {"Move", &FilesystemService::Move},
      {"ListDir", &FilesystemService::ListDir},
      {"Remove", &FilesystemService::Remove},
      {"CreateWatcher", &FilesystemService::CreateWatcher},
      {"GetWatcherEvents", &FilesystemService::GetWatcherEvents},
      {"RemoveWatcher", &FilesystemService::RemoveWatcher},
  }};
  if (method == "WatchDir") {
    ServeStream(exchange,
                [this](wire::Exchange& e, const json::object& r) { return WatchDir(e, r); });
    return true;
  }
  for (const Row& row : kUnary) {
    if (row.name != method) continue;
    ServeUnary(exchange,
               [&](wire::Exchange& e, const json::object& r) { return (this->*row.method)(e, r); });
    return true;
  }
  return false;
}

Result<FilesystemService::Target> FilesystemService::TargetOf(const wire::Exchange& exchange,
                                                              const json::object& request,
                                                              std::string_view field) {
  JsonReader reader(request);
  const std::string path = reader.String(field);
  RETURN_IF_ERROR(reader.Finish());
  Target target;
  ASSIGN_OR_RETURN(target.user, settings_.FindUser(BasicUser(exchange.request())));
  ASSIGN_OR_RETURN(target.path, settings_.Resolve(path, target.user));
  return target;
}

Result<json::object> FilesystemService::Stat(wire::Exchange& exchange,
                                             const json::object& request) {
  ASSIGN_OR_RETURN(const Target target, TargetOf(exchange, request));
  return EntryReply(target.path);
}

Result<json::object> FilesystemService::MakeDir(wire::Exchange& exchange,
                                                const json::object& request) {
  ASSIGN_OR_RETURN(const Target target, TargetOf(exchange, request));
  struct stat info;
  if (::stat(target.path.c_str(), &info) == 0) {
    if (S_ISDIR(info.st_mode)) {
      return Fail(Code::kAlreadyExists, "directory '{}' already exists", target.path);
    }
    return Fail(Code::kInvalidArgument, "path '{}' exists and is not a directory", target.path);
  }
  RETURN_IF_ERROR(MakeFolders(target.path, target.user));
  return EntryReply(target.path);
}

Result<json::object> FilesystemService::Move(wire::Exchange& exchange,
                                             const json::object& request) {
  ASSIGN_OR_RETURN(const Target from, TargetOf(exchange, request, "source"));
  ASSIGN_OR_RETURN(const Target to, TargetOf(exchange, request, "destination"));
  RETURN_IF_ERROR(MovePath(from.path, to.path, from.user));
  return EntryReply(to.path);
}

// Writes the answer as it walks: a folder may hold more than fits into memory.
Result<json::object> FilesystemService::ListDir(wire::Exchange& exchange,
                                                const json::object& request) {
  ASSIGN_OR_RETURN(const Target target, TargetOf(exchange, request));
  JsonReader reader(request);
  const auto depth = static_cast<uint32_t>(reader.Int("depth", 1, 0, UINT32_MAX));
  RETURN_IF_ERROR(reader.Finish());

  wire::BodyWriter* writer = nullptr;
  std::string text = R"({"entries":[)";
  const auto flush = [&]() -> Status {
    if (!writer) {
      ASSIGN_OR_RETURN(writer, exchange.StartBody(200, wire::kConnectUnaryType));
    }
    return writer->Write(std::exchange(text, {}), exchange.WriteDeadline());
  };
  bool first = true;
  RETURN_IF_ERROR(ListEntries(target.path, depth, [&](const wire::EntryInfo& entry) -> Status {
    if (!first) text.push_back(',');
    first = false;
    text += json::serialize(wire::ToJson(entry));
    return text.size() < kListFlush ? Status() : flush();
  }));
  text += "]}";
  if (!writer) {
    RETURN_IF_ERROR(exchange.Respond(200, wire::kConnectUnaryType, text));
    return json::object();
  }
  RETURN_IF_ERROR(flush());
  RETURN_IF_ERROR(exchange.FinishBody());
  return json::object();
}

Result<json::object> FilesystemService::Remove(wire::Exchange& exchange,
                                               const json::object& request) {
  ASSIGN_OR_RETURN(const Target target, TargetOf(exchange, request));
  RETURN_IF_ERROR(RemoveTree(target.path));
  return json::object();
}

Result<std::unique_ptr<Watcher>> FilesystemService::OpenWatcher(const wire::Exchange& exchange,
                                                                const json::object& request) {
  ASSIGN_OR_RETURN(const Target target, TargetOf(exchange, request));
  JsonReader reader(request);
  Watcher::Options options;
  options.recursive = reader.Bool("recursive");
  options.include_entry = reader.Bool("includeEntry");
  options.allow_network_mounts = reader.Bool("allowNetworkMounts");
  RETURN_IF_ERROR(reader.Finish());
  return Watcher::Open(target.path, options);
}

Result<json::object> FilesystemService::CreateWatcher(wire::Exchange& exchange,
                                                      const json::object& request) {
  ASSIGN_OR_RETURN(auto watcher, OpenWatcher(exchange, request));
  ASSIGN_OR_RETURN(const std::string id, watchers_.Create(std::move(watcher)));
  json::object reply;
  reply["watcherId"] = id;
  return reply;
}

Result<json::object> FilesystemService::GetWatcherEvents(wire::Exchange&,
                                                         const json::object& request) {
  JsonReader reader(request);
  const std::string id = reader.String("watcherId");
  RETURN_IF_ERROR(reader.Finish());
  ASSIGN_OR_RETURN(const auto events, watchers_.Take(id));
  json::array list;
  for (const wire::FileEvent& event : events) list.push_back(wire::ToJson(event));
  json::object reply;
  reply["events"] = std::move(list);
  return reply;
}

Result<json::object> FilesystemService::RemoveWatcher(wire::Exchange&,
                                                      const json::object& request) {
  JsonReader reader(request);
  const std::string id = reader.String("watcherId");
  RETURN_IF_ERROR(reader.Finish());
  RETURN_IF_ERROR(watchers_.Remove(id));
  return json::object();
}

Status FilesystemService::WatchDir(wire::Exchange& exchange, const json::object& request) {
  ASSIGN_OR_RETURN(const Deadline limit, TimeLimit(exchange));
  ASSIGN_OR_RETURN(const auto watcher, OpenWatcher(exchange, request));
  const auto pause = KeepAliveInterval(exchange);
  StreamWriter writer(exchange);
  RETURN_IF_ERROR(writer.Start(wire::FormatEnvelope(0, R"({"start":{}})")));
  Deadline keep_alive = Deadline::After(pause);
  for (;;) {
    pollfd entries[] = {{watcher->fd(), POLLIN, 0}, {exchange.client_fd(), POLLRDHUP, 0}};
    ::poll(entries, 2, Deadline::Earlier(keep_alive, limit).PollTimeout());
    if (entries[1].revents) return Fail(Code::kCanceled, "the client has gone");
    if (limit.HasPassed()) {
      return writer.End(Error{Code::kDeadlineExceeded, "the time limit has passed", {}});
    }
    std::string envelopes;
    if (entries[0].revents) {
      auto events = watcher->Read();
      if (!events) return writer.End(events.error());
      envelopes = EventEnvelopes(*events);
    } else if (keep_alive.HasPassed()) {
      envelopes = wire::FormatEnvelope(0, R"({"keepalive":{}})");
    }
    if (envelopes.empty()) continue;
    RETURN_IF_ERROR(writer.Send(envelopes));
    keep_alive = Deadline::After(pause);
  }
}

}  // namespace wrenn::guest
