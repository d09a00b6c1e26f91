#pragma once
// Published recipes as defaults: optimizer.preset names one, and a key that the file does not set takes its value.

#include <string>

#include "runtime/core/config.h"

namespace interlock {

// What optimizer.preset says of `key`, or `fallback` where it says nothing (or there is no preset). Use it as the
// default when asking for the key: `section.number(key, preset_number(section, key, fallback))`. An unknown preset, and
// one of another optimizer, is refused.
double preset_number(const Section& optimizer, const std::string& key, double fallback);

}  // namespace interlock
