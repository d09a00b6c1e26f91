#pragma once
// Integers of a config that are kept as int.

#include <limits>
#include <string>
#include <vector>

#include "runtime/core/config.h"

namespace interlock {

inline constexpr int64_t int_least = std::numeric_limits<int>::min(), int_most = std::numeric_limits<int>::max();

int small_integer(const Section& section, const std::string& key, int64_t fallback, int64_t least = int_least,
                  int64_t most = int_most);
std::vector<int> small_integers(const Section& section, const std::string& key, const std::vector<int>& fallback,
                                int64_t least);

}  // namespace interlock
