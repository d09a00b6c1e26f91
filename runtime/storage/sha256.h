#pragma once
// SHA-256 by OpenSSL.

#include <cstddef>
#include <memory>
#include <span>
#include <string>

namespace interlock {

class Sha256 {
 public:
  Sha256();
  ~Sha256();
  void add(std::span<const std::byte> bytes);
  void add(const std::string& text);
  std::string hex();  // ends the digest

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace interlock
