// HTTP messages from a hostile peer: heads and bodies. What is accepted must mean the same when it
// is written and read again, or two readers could disagree (request smuggling).
//
// The first byte chooses between request, response and a chunked body alone.
#include <sys/socket.h>

#include <cstdint>
#include <cstdlib>

#include "wire/http_body.h"

namespace wrenn::wire {
namespace {

Deadline Limit() { return Deadline::After(std::chrono::seconds(1)); }

// A stream that holds these bytes and then ends.
Result<ByteStream> StreamOf(std::string_view bytes) {
  ASSIGN_OR_RETURN(auto pair, SocketPair());
  RETURN_IF_ERROR(WriteAll(pair.first.get(), bytes, Limit()));
  return ByteStream(std::move(pair.second));
}

void ReadBody(ByteStream& stream, BodyLength length, size_t available) {
  BodyReader body(stream, length);
  char buffer[100];
  size_t total = 0;
  for (;;) {
    const auto got = body.Read(buffer, Limit());
    if (!got) return;
    if (*got == 0) break;
    total += *got;
    if (total > available) std::abort();  // more than there was
  }
  if (!body.done()) std::abort();
  if (length.kind == BodyLength::Kind::kFixed && total != length.bytes) std::abort();
}

void ExpectSame(const Fields& a, const Fields& b) {
  if (a.all() != b.all()) std::abort();
}

void ReadRequest(std::string_view bytes) {
  auto stream = StreamOf(bytes);
  if (!stream) return;
  auto text = stream->ReadThrough("\r\n\r\n", kMaxHeadBytes, Limit());
  if (!text || text->empty()) return;
  auto head = ParseRequestHead(*text);
  if (!head) return;
  // An HTTP/1.0 request may lack a Host; it is written with one, for which there may be no room.
  const bool host = head->fields.Find("host") != nullptr;
  if (!host && head->fields.all().size() == kMaxFields) return;
  auto again = ParseRequestHead(FormatRequestHead(*head));
  if (!again || again->method != head->method || again->target != head->target) std::abort();
  if (host) ExpectSame(head->fields, again->fields);
  [[maybe_unused]] auto param = head->Param("path");
  [[maybe_unused]] const bool close = head->fields.HasToken("connection", "close");
  auto length = RequestBodyLength(*head);
  if (!length) return;
  if (length->kind == BodyLength::Kind::kUntilClose) std::abort();  // requests have no such body
  ReadBody(*stream, *length, bytes.size());
}

void ReadResponse(std::string_view bytes) {
  auto stream = StreamOf(bytes);
  if (!stream) return;
  auto text = stream->ReadThrough("\r\n\r\n", kMaxHeadBytes, Limit());
  if (!text || text->empty()) return;
  auto head = ParseResponseHead(*text);
  if (!head) return;
  if (head->status < 100 || head->status > 999) std::abort();
  auto again = ParseResponseHead(FormatResponseHead(*head));
  if (!again || again->status != head->status) std::abort();
  ExpectSame(head->fields, again->fields);
  auto length = ResponseBodyLength(*head, "GET");
  if (length) ReadBody(*stream, *length, bytes.size());
}

void ReadChunks(std::string_view bytes) {
  auto stream = StreamOf(bytes);
  if (stream) ReadBody(*stream, {BodyLength::Kind::kChunked, 0}, bytes.size());
}

}  // namespace
}  // namespace wrenn::wire

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 1) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1,
                               std::min<size_t>(size - 1, 65536));
  switch (data[0] % 3) {
    case 0:
      wrenn::wire::ReadRequest(bytes);
      break;
    case 1:
      wrenn::wire::ReadResponse(bytes);
      break;
    default:
      wrenn::wire::ReadChunks(bytes);
  }
  return 0;
}
