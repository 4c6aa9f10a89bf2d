// Agent messages from a hostile peer. What decodes must encode, and decode again.
#include <cstdint>
#include <cstdlib>

#include "wire/agent_api.h"

namespace wrenn::wire {
namespace {

template <typename Decode>
void Check(const json::object& object, Decode decode) {
  auto value = decode(object);
  if (!value) return;
  const std::string text = json::serialize(ToJson(*value));
  auto parsed = ParseJsonObject(text);
  if (!parsed || !decode(*parsed)) std::abort();
}

}  // namespace
}  // namespace wrenn::wire

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace wrenn::wire;
  auto object = wrenn::ParseJsonObject(std::string_view(reinterpret_cast<const char*>(data), size));
  if (!object) return 0;
  Check(*object, DecodeStartRequest);
  Check(*object, DecodeProcessInfo);
  Check(*object, DecodeProcessSelector);
  Check(*object, DecodeProcessEvent);
  Check(*object, DecodeProcessInput);
  Check(*object, DecodePtySize);
  Check(*object, DecodeEntryInfo);
  Check(*object, DecodeFileEvent);
  Check(*object, DecodeGuestMetrics);
  Check(*object, DecodeInitRequest);
  Check(*object, DecodeInitReply);
  for (const auto& member : *object) {
    [[maybe_unused]] auto signal = DecodeSignal(member.value());
  }
  return 0;
}
