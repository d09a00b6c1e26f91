#pragma once
// In which numbers a run computes. Torch-free, so that settings can name it.

#include <string>

#include "runtime/core/config.h"

namespace interlock {

enum class Precision {
  float32,
  float64,  // parameters and activations; for exactness tests
  bf16,     // parameters, their gradients and the optimizer in float32; products and what passes between blocks in
            // bfloat16; norms, softmax and losses inside in float32
};

Precision read_precision(const Section& run);  // run.precision
std::string name_of(Precision precision);      // as run.precision has it

}  // namespace interlock
