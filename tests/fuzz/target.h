#pragma once
// What fuzz targets share. A target is one file with LLVMFuzzerTestOneInput: libFuzzer calls it with inputs that it
// makes up, replay.cpp with those of the corpus. What breaks a promise ends the process.

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "runtime/core/error.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace interlock::fuzz {

inline void require(bool holds, const char* promise) {
  if (holds) return;
  std::fprintf(stderr, "broken promise: %s\n", promise);
  std::abort();
}

// Whether `act` took the input. It may refuse it by an Error with this exit code and a reason; any other exception is
// caught by nobody.
template <class Act>
bool accepts(ExitCode refusal, const Act& act) {
  try {
    act();
    return true;
  } catch (const Error& error) {
    require(error.code() == refusal, "a refusal has the exit code of its kind");
    require(error.what()[0] != '\0', "a refusal has a reason");
    return false;
  }
}

inline std::string_view text_of(const uint8_t* data, size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

}  // namespace interlock::fuzz
