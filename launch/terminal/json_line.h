#pragma once
// The JSON object that ends what a command prints. Names of files need not be UTF-8 and JSON must be: a byte that is
// none becomes U+FFFD.

#include <string>

namespace interlock {

template <class Json>
std::string json_text(const Json& object) {
  return object.dump(-1, ' ', false, Json::error_handler_t::replace);
}

template <class Json>
std::string json_line(const Json& object) {
  return json_text(object) + "\n";
}

}  // namespace interlock
