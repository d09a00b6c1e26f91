#include "launch/settings/small_integers.h"

#include "runtime/core/error.h"

namespace interlock {

int small_integer(const Section& section, const std::string& key, int64_t fallback, int64_t least, int64_t most) {
  return static_cast<int>(section.integer(key, fallback, least, most));
}

std::vector<int> small_integers(const Section& section, const std::string& key, const std::vector<int>& fallback,
                                int64_t least) {
  std::vector<int> values;
  for (const int64_t value : section.integers(key, {fallback.begin(), fallback.end()})) {
    if (value < least || value > int_most)
      section.refuse(key, message(value, " is out of range; each entry must be from ", least, " to ", int_most));
    values.push_back(static_cast<int>(value));
  }
  return values;
}

}  // namespace interlock
