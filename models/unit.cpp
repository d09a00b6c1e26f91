#include "models/unit.h"

namespace interlock {

Unit read_unit(const Section& parallel) {
  return parallel.one_of("unit", "block", {"block", "half_block"}) == "block" ? Unit::block : Unit::half_block;
}

std::string name_of(Unit unit) { return unit == Unit::block ? "block" : "half_block"; }

std::string words_of(Unit unit) { return unit == Unit::block ? "blocks" : "half blocks"; }

}  // namespace interlock
