#pragma once
// In which numbers a run computes. Torch-free, so that settings can name it.

namespace interlock {

enum class Precision {
  float32,
  float64,  // parameters and activations; for exactness tests
  bf16,     // parameters, their gradients and the optimizer in float32; products and what passes between blocks in
            // bfloat16; norms, softmax and losses inside in float32
};

}  // namespace interlock
