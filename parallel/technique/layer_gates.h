#pragma once
// Which layers a microbatch passes through, drawn by (seed, step, microbatch, layer): for techniques that leave layers
// out at random.

#include <functional>

#include "parallel/technique/technique.h"

namespace interlock {

// The probability, 0..1, that a layer is left out.
using DropRate = std::function<double(int64_t layer)>;

enum class GateBalance {
  independent,  // every layer by a draw of its own
  // Of every stage as many layers run as are expected, rounded one way or the other, each with its own probability.
  stratified,
};

// Whether the layer runs.
bool layer_gate(GateBalance balance, const LayerPlace& place, const Occasion& at, const DropRate& rate);
// The option `balance` of a technique's table.
GateBalance read_balance(const Section& options);

}  // namespace interlock
