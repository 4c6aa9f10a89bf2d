// Envelopes and Connect errors from a hostile peer: whatever is read must be bounded and
// re-formatted to the same bytes.
#include <cstdint>
#include <cstdlib>

#include "wire/connect.h"

namespace wrenn::wire {
namespace {

void ReadAllEnvelopes(std::string_view bytes) {
  auto pair = SocketPair();
  if (!pair) return;
  // One write must fit into the socket: nobody reads while it is written.
  const Deadline deadline = Deadline::After(std::chrono::seconds(1));
  if (!WriteAll(pair->first.get(), bytes, deadline)) return;
  pair->first.Reset();
  ByteStream stream(std::move(pair->second));
  BodyReader body(stream, {BodyLength::Kind::kUntilClose, 0});
  std::string again;
  for (;;) {
    auto envelope = ReadEnvelope(body, deadline);
    if (!envelope || !*envelope) break;
    again += FormatEnvelope((*envelope)->flags, (*envelope)->message);
    if (!bytes.starts_with(again)) std::abort();
    if ((*envelope)->is_end()) {
      [[maybe_unused]] auto end = ParseEndOfStream((*envelope)->message);
    }
  }
}

}  // namespace
}  // namespace wrenn::wire

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size < 65536 ? size : 65536);
  wrenn::wire::ReadAllEnvelopes(bytes);
  const wrenn::Error error = wrenn::wire::ParseUnaryError(404, bytes);
  [[maybe_unused]] const std::string text = wrenn::wire::FormatUnaryError(error);
  return 0;
}
