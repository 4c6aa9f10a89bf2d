#include "guest/agent/content_service.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <set>

#include "base/encoding.h"
#include "guest/agent/process_service.h"
#include "guest/agent/rpc.h"
#include "guest/files/entries.h"
#include "guest/files/gzip.h"
#include "guest/files/multipart.h"
#include "guest/files/range.h"
#include "guest/files/upload.h"

namespace wrenn::guest {
namespace {

constexpr std::string_view kType = "application/octet-stream";
constexpr size_t kCopyBytes = 128 << 10;
// A file that says to be this small is read before its length is sent: in procfs and sysfs what a
// file says of its size is not true.
constexpr size_t kReadAhead = 64 << 10;
constexpr uint64_t kMinGzip = 1024;
// Files of the disk never make a reader wait; /proc/kmsg and the like would, for ever.
constexpr std::chrono::seconds kReadLimit{10};

// A file that is being read.
struct Source {
  UniqueFd fd;
  std::string begin;     // what was read ahead
  bool whole = false;    // `begin` is all
  uint64_t size = 0;     // known unless `endless`
  bool endless = false;  // read to the end, wherever that is
};

Result<size_t> ReadFull(int fd, char* out, size_t size) {
  size_t have = 0;
  while (have < size) {
    ASSIGN_OR_RETURN(const size_t got,
                     ReadSome(fd, std::span(out + have, size - have), Deadline::After(kReadLimit)));
    if (got == 0) break;
    have += got;
  }
  return have;
}

Result<Source> OpenSource(const std::string& path) {
  Source source;
  // O_NONBLOCK: opening a FIFO does not wait for its other end.
  source.fd = UniqueFd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!source.fd) return PathError("read", path, errno);
  struct stat info;
  if (::fstat(source.fd.get(), &info) < 0) return PathError("read", path, errno);
  if (S_ISDIR(info.st_mode)) return Fail(Code::kInvalidArgument, "path '{}' is a directory", path);
  if (!S_ISREG(info.st_mode)) {
    return Fail(Code::kInvalidArgument, "path '{}' is not a regular file", path);
  }
  source.size = static_cast<uint64_t>(info.st_size);
  if (source.size > kReadAhead) return source;
  source.begin.resize(kReadAhead + 1);
  ASSIGN_OR_RETURN(const size_t got,
                   ReadFull(source.fd.get(), source.begin.data(), source.begin.size()));
  source.begin.resize(got);
  source.whole = got <= kReadAhead;
  source.endless = !source.whole;
  if (source.whole) source.size = got;
  return source;
}

// Gives `begin` and then the file's next bytes to `sink`, `limit` in all. kUnavailable when the
// file got shorter meanwhile.
Status Copy(const Source& source, uint64_t limit,
            const std::function<Status(std::string_view)>& sink) {
  RETURN_IF_ERROR(sink(source.begin));
  uint64_t left = limit - source.begin.size();
  const auto buffer = std::make_unique<char[]>(kCopyBytes);
  while (left > 0) {
    const size_t want = static_cast<size_t>(std::min<uint64_t>(left, kCopyBytes));
    ASSIGN_OR_RETURN(const size_t got, ReadSome(source.fd.get(), std::span(buffer.get(), want),
                                                Deadline::After(kReadLimit)));
    if (got == 0) {
      if (source.endless) return {};
      return Fail(Code::kUnavailable, "the file was cut while it was read");
    }
    RETURN_IF_ERROR(sink(std::string_view(buffer.get(), got)));
    left -= got;
  }
  return {};
}

Status SendPlain(wire::Exchange& exchange, int status, const Source& source, uint64_t size) {
  const auto length = source.endless ? std::nullopt : std::optional(size);
  ASSIGN_OR_RETURN(wire::BodyWriter * writer, exchange.StartBody(status, kType, length));
  RETURN_IF_ERROR(Copy(source, source.endless ? UINT64_MAX : size, [&](std::string_view data) {
    return writer->Write(data, exchange.WriteDeadline());
  }));
  return exchange.FinishBody();
}

Status SendGzip(wire::Exchange& exchange, const Source& source) {
  exchange.AddField("Content-Encoding", "gzip");
  ASSIGN_OR_RETURN(wire::BodyWriter * writer, exchange.StartBody(200, kType));
  Gzip gzip;
  RETURN_IF_ERROR(
      Copy(source, source.endless ? UINT64_MAX : source.size, [&](std::string_view data) {
        return writer->Write(gzip.Add(data, false), exchange.WriteDeadline());
      }));
  RETURN_IF_ERROR(writer->Write(gzip.Add({}, true), exchange.WriteDeadline()));
  return exchange.FinishBody();
}

bool AcceptsGzip(const wire::Fields& fields) {
  if (!fields.HasToken("accept-encoding", "gzip")) return false;
  for (const std::string_view name : {"range", "if-range", "if-modified-since", "if-none-match"}) {
    if (fields.Find(name)) return false;
  }
  return true;
}

// Serves the part that a Range field asks for.
Status SendRange(wire::Exchange& exchange, Source& source, const RangeAnswer& answer) {
  if (answer.kind == RangeAnswer::Kind::kUnsatisfiable) {
    exchange.AddField("Content-Range", fmt::format("bytes */{}", source.size));
    return exchange.RespondEmpty(416);
  }
  const ByteRange& range = answer.range;
  exchange.AddField("Content-Range",
                    fmt::format("bytes {}-{}/{}", range.first, range.last, source.size));
  if (source.whole) {
    return exchange.Respond(206, kType,
                            std::string_view(source.begin).substr(range.first, range.size()));
  }
  if (::lseek(source.fd.get(), static_cast<off_t>(range.first), SEEK_SET) < 0) {
    return Fail(ErrnoError("cannot seek"));
  }
  return SendPlain(exchange, 206, source, range.size());
}

json::object FileReply(const std::string& path) {
  json::object object;
  object["name"] = path.substr(path.rfind('/') + 1);
  object["path"] = path;
  object["type"] = "file";
  return object;
}

Status Store(ByteSource& content, const std::string& path, const User& user) {
  ASSIGN_OR_RETURN(Upload upload, Upload::Begin(path, user));
  const auto buffer = std::make_unique<char[]>(kCopyBytes);
  for (;;) {
    ASSIGN_OR_RETURN(const size_t got, content.Read(std::span(buffer.get(), kCopyBytes)));
    if (got == 0) return upload.Commit(user);
    RETURN_IF_ERROR(upload.Write(std::string_view(buffer.get(), got)));
  }
}

}  // namespace

Result<User> ContentService::RequestUser(const wire::Exchange& exchange) {
  const auto parameter = exchange.request().Param("username");
  return settings_.FindUser(parameter ? *parameter : BasicUser(exchange.request()));
}

void ContentService::Get(wire::Exchange& exchange) {
  auto sent = Send(exchange);
  if (!sent && !exchange.answered()) RespondPlainError(exchange, sent.error());
}

Status ContentService::Send(wire::Exchange& exchange) {
  const wire::RequestHead& head = exchange.request();
  ASSIGN_OR_RETURN(const User user, RequestUser(exchange));
  ASSIGN_OR_RETURN(const std::string path,
                   settings_.Resolve(head.Param("path").value_or(""), user));
  ASSIGN_OR_RETURN(Source source, OpenSource(path));

  exchange.AddField("Vary", "Accept-Encoding");
  exchange.AddField("Content-Disposition",
                    "inline; filename*=utf-8''" + PercentEncode(path.substr(path.rfind('/') + 1)));
  if (!source.endless) exchange.AddField("Accept-Ranges", "bytes");
  const bool large = source.endless || source.size >= kMinGzip;
  if (large && AcceptsGzip(head.fields)) return SendGzip(exchange, source);
  if (!source.endless) {
    const RangeAnswer range = ParseRange(head.fields.Get("range"), source.size);
    if (range.kind != RangeAnswer::Kind::kWhole) return SendRange(exchange, source, range);
  }
  if (source.whole) return exchange.Respond(200, kType, source.begin);
  return SendPlain(exchange, 200, source, source.size);
}

void ContentService::Post(wire::Exchange& exchange) {
  BodySource body(exchange.body(), kBodyPause);
  auto entries = Receive(exchange, body);
  if (entries) {
    [[maybe_unused]] auto sent =
        exchange.Respond(200, "application/json", json::serialize(*entries));
    return;
  }
  // At once, though the client may still send: the server gives it the time to see the answer.
  if (!exchange.body().done()) exchange.CloseAfter();
  RespondPlainError(exchange, entries.error());
}

Result<json::array> ContentService::Receive(wire::Exchange& exchange, ByteSource& body) {
  const wire::RequestHead& head = exchange.request();
  ASSIGN_OR_RETURN(const User user, RequestUser(exchange));
  const std::string_view encoding = head.fields.Get("content-encoding");
  std::optional<GunzipSource> decoder;
  if (encoding == "gzip") {
    decoder.emplace(body);
  } else if (!encoding.empty() && encoding != "identity") {
    return Fail(Code::kInvalidArgument, "the content encoding must be gzip or identity");
  }
  ByteSource& content = decoder ? static_cast<ByteSource&>(*decoder) : body;

  const std::string_view type = head.fields.Get("content-type");
  if (const auto boundary = MultipartBoundary(type)) {
    return ReceiveParts(exchange, content, *boundary, user);
  }
  if (type.substr(0, type.find(';')) != kType) {
    return Fail(Code::kInvalidArgument,
                "the content type must be multipart/form-data or application/octet-stream");
  }
  const auto wanted = head.Param("path");
  if (!wanted || wanted->empty()) return Fail(Code::kInvalidArgument, "path is required");
  ASSIGN_OR_RETURN(const std::string path, settings_.Resolve(*wanted, user));
  RETURN_IF_ERROR(Store(content, path, user));
  return json::array{FileReply(path)};
}

Result<json::array> ContentService::ReceiveParts(wire::Exchange& exchange, ByteSource& body,
                                                 const std::string& boundary, const User& user) {
  const auto given = exchange.request().Param("path");
  MultipartReader reader(body, boundary);
  json::array entries;
  std::set<std::string> paths;
  for (;;) {
    ASSIGN_OR_RETURN(const std::optional<Part> part, reader.NextPart());
    if (!part) return entries;
    if (part->name != "file") continue;
    const std::string& wanted = given && !given->empty() ? *given : part->filename;
    if (wanted.empty()) return Fail(Code::kInvalidArgument, "a file needs a path or a filename");
    ASSIGN_OR_RETURN(const std::string path, settings_.Resolve(wanted, user));
    if (!paths.insert(path).second) {
      return Fail(Code::kInvalidArgument, "there are two files for the path '{}'", path);
    }
    RETURN_IF_ERROR(Store(reader, path, user));
    entries.push_back(FileReply(path));
  }
}

}  // namespace wrenn::guest
