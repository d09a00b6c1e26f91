#include "launch/heartbeat/secret.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <sys/random.h>

#include <cerrno>
#include <cstring>

#include "runtime/core/error.h"

namespace interlock {

Secret random_bytes() {
  Secret bytes{};
  for (size_t have = 0; have < bytes.size();) {
    const ssize_t more = getrandom(bytes.data() + have, bytes.size() - have, 0);
    if (more < 0 && errno == EINTR) continue;
    if (more <= 0) throw Error(ExitCode::gave_up, message("no random bytes: ", std::strerror(errno)));
    have += static_cast<size_t>(more);
  }
  return bytes;
}

Secret authentication_code(const Secret& key, std::string_view text) {
  Secret code{};
  unsigned int size = 0;
  const auto* bytes = reinterpret_cast<const unsigned char*>(text.data());
  if (!HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), bytes, text.size(), code.data(), &size))
    throw Error(ExitCode::gave_up, "OpenSSL cannot compute HMAC-SHA-256");
  return code;
}

bool equal_codes(const Secret& one, std::string_view other) {
  return other.size() == one.size() && CRYPTO_memcmp(one.data(), other.data(), one.size()) == 0;
}

}  // namespace interlock
