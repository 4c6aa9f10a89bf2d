// What a guest sends to its name server, and what comes back for it.
#include <cstdlib>

#include "net/dns_message.h"
#include "net/resolvers.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  (void)wrenn::net::ParseResolvers(bytes);
  if (const auto whole = wrenn::net::WholeDnsQuestions(bytes); whole && *whole > size) std::abort();
  const std::string_view first = bytes.substr(0, size / 2);
  if (wrenn::net::IsDnsQuestion(first)) {
    (void)wrenn::net::IsDnsAnswer(first, bytes.substr(size / 2));
  }
  if (!wrenn::net::IsDnsQuestion(bytes)) return 0;
  const std::string failure = wrenn::net::DnsFailure(bytes);
  if (failure.size() > size || !wrenn::net::IsDnsAnswer(bytes, failure)) std::abort();
  return 0;
}
