#include "api/page.h"

#include <openssl/evp.h>

#include "base/encoding.h"

namespace wrenn::api {

std::string HashSource(std::string_view block) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  EVP_Digest(block.data(), block.size(), digest, &size, EVP_sha256(), nullptr);
  return "'sha256-" + Base64Encode({reinterpret_cast<const char*>(digest), size}) + "'";
}

Status RespondPage(Context& context, const Page& page) {
  context.exchange.AddField("Content-Security-Policy", page.policy);
  context.exchange.AddField("Referrer-Policy", "no-referrer");
  return context.exchange.Respond(200, "text/html; charset=utf-8", page.html);
}

}  // namespace wrenn::api
