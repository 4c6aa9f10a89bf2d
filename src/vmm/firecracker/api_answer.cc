#include "vmm/firecracker/api_answer.h"

#include "base/json.h"

namespace wrenn::vmm {
namespace {

constexpr size_t kMaxFault = 1024;

// One line without control characters, cut between characters.
std::string Printable(std::string_view text) {
  if (text.size() > kMaxFault) {
    size_t end = kMaxFault;
    while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
    text = text.substr(0, end);
  }
  std::string line(text);
  for (char& c : line) {
    if (static_cast<unsigned char>(c) < ' ' || c == '\x7f') c = ' ';
  }
  while (line.ends_with(' ') || line.ends_with('.')) line.pop_back();
  return line;
}

std::string FaultOf(std::string_view body) {
  const auto object = ParseJsonObject(body);
  return object ? Printable(JsonReader(*object).String("fault_message")) : std::string();
}

}  // namespace

Error RefusalOf(const ApiRequest& request, int status, std::string_view body) {
  std::string fault = FaultOf(body);
  if (fault.empty()) fault = fmt::format("status {} and no reason", status);
  return {status == 400 ? Code::kFailedPrecondition : Code::kInternal,
          fmt::format("Firecracker refused {} {}: {}", request.method, request.path, fault),
          {}};
}

Result<FirecrackerVersion> ParseVersionAnswer(std::string_view body) {
  ASSIGN_OR_RETURN(const json::object object, ParseJsonObject(body));
  JsonReader reader(object, "version");
  const std::string version = reader.RequiredString("firecracker_version");
  RETURN_IF_ERROR(reader.Finish());
  return ParseFirecrackerVersion(version);
}

}  // namespace wrenn::vmm
