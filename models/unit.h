#pragma once
// Between which pieces a model may be cut. Torch-free, so that settings can name it.

#include <string>

#include "runtime/core/config.h"

namespace interlock {

enum class Unit {
  block,
  half_block,  // of a Transformer: attention with its norm, the feed-forward part with its norm
};

Unit read_unit(const Section& parallel);  // parallel.unit
std::string name_of(Unit unit);           // as parallel.unit has it
std::string words_of(Unit unit);          // for people, of several: "half blocks"

}  // namespace interlock
