#pragma once
// Errors of parts that know no config file.

#include <string>

#include "runtime/core/config.h"
#include "runtime/core/error.h"

namespace interlock {

// `sentence` begins with the key that it is about ("learning.horizon = 9 does not fit ..."): the same with the place of
// that key, as this change of rule (0: the start) has it. What does not begin with a key gets the file's name; what
// begins with its place already stays as it is.
std::string with_place(const Config& config, const std::string& sentence, size_t change = 0);

// Runs `act`; its errors get the place of the key that they begin with.
template <class Act>
auto placing_key(const Config& config, Act act, size_t change = 0) {
  try {
    return act();
  } catch (const Error& error) {
    throw Error(error.code(), with_place(config, error.what(), change));
  }
}

}  // namespace interlock
