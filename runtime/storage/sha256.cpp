// SHA-256 by OpenSSL's EVP interface, which picks the processor's SHA instructions.

#include "runtime/storage/sha256.h"

#include <openssl/evp.h>

#include <array>
#include <cassert>
#include <stdexcept>

namespace interlock {

struct Sha256::State {
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  ~State() { EVP_MD_CTX_free(context); }
};

namespace {

// These calls fail only when OpenSSL has no SHA-256 or no memory.
void check(int status) {
  if (status != 1) throw std::runtime_error("OpenSSL cannot compute SHA-256");
}

}  // namespace

Sha256::Sha256() : state_(std::make_unique<State>()) {
  check(EVP_DigestInit_ex(state_->context, EVP_sha256(), nullptr));
}
Sha256::~Sha256() = default;

void Sha256::add(std::span<const std::byte> bytes) {
  assert(state_ != nullptr);
  check(EVP_DigestUpdate(state_->context, bytes.data(), bytes.size()));
}

void Sha256::add(const std::string& text) { add(std::as_bytes(std::span(text))); }

std::string Sha256::hex() {
  assert(state_ != nullptr);
  std::array<unsigned char, 32> digest;
  check(EVP_DigestFinal_ex(state_->context, digest.data(), nullptr));
  state_.reset();
  std::string text;
  for (const unsigned char byte : digest) {
    text += "0123456789abcdef"[byte >> 4];
    text += "0123456789abcdef"[byte & 15];
  }
  return text;
}

}  // namespace interlock
