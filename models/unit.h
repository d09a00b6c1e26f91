#pragma once
// Between which pieces a model may be cut. Torch-free, so that settings can name it.

#include <string>

#include "runtime/core/config.h"

namespace interlock {

enum class Unit {
  block,
  half_block,  // of a Transformer: attention with its norm, the feed-forward part with its norm
};

// As parallel.unit has it.
inline std::string name_of(Unit unit) { return unit == Unit::block ? "block" : "half_block"; }

inline Unit read_unit(const Section& parallel) {
  const std::string name = parallel.one_of("unit", name_of(Unit::block), {name_of(Unit::block), "half_block"});
  return name == name_of(Unit::block) ? Unit::block : Unit::half_block;
}

// For people, of several.
inline std::string words_of(Unit unit) { return unit == Unit::block ? "blocks" : "half blocks"; }

}  // namespace interlock
