#pragma once
// What a piece of a model costs, as plain numbers: enough to cut it into stages and to simulate a plan. Torch-free.

#include <algorithm>
#include <cstdint>

namespace interlock {

struct Costs {
  double forward_flops = 0;          // per microbatch
  double input_gradient_flops = 0;   // one pass that makes the gradient of the input only
  double weight_gradient_flops = 0;  // what the gradients of the parameters add to such a pass
  int64_t parameters = 0;            // how many numbers
  int64_t frozen = 0;                // of these, how many do not train: no gradient, no optimizer state
  int64_t copied = 0;                // numbers held as read-only copies of other parameters: no gradient, no state
  int64_t product_copy_bytes = 0;    // copies of parameters in the type of products, kept from the first use on
  int64_t activation_bytes = 0;      // saved for backward, per microbatch alive
  int64_t linear_input_bytes = 0;    // of these, the inputs of linear layers: saved for the weight products alone
  // What a pass to the input records for a weight pass to come: gradients at the outputs of linear layers (their inputs
  // are saved already), and those of parameters that take part in no product.
  int64_t recorded_bytes = 0;
  // Alive at the peak of a pass beside all that is kept: parameters, the buffer of their gradients, state, what is
  // saved of microbatches, and what is handed over. Not a sum but the most of any part, since parts are walked one by
  // one. Working memory of a fixed size, below 1 MiB, is not counted.
  int64_t working_bytes = 0;          // of a pass back that frees what was saved as it goes
  int64_t kept_working_bytes = 0;     // of one that keeps it for a pass to come, or records
  int64_t forward_working_bytes = 0;  // of a forward pass that saves nothing, its result included

  int64_t trained() const { return parameters - frozen; }
  Costs& operator+=(const Costs& other) {
    forward_flops += other.forward_flops;
    input_gradient_flops += other.input_gradient_flops;
    weight_gradient_flops += other.weight_gradient_flops;
    parameters += other.parameters;
    frozen += other.frozen;
    copied += other.copied;
    product_copy_bytes += other.product_copy_bytes;
    activation_bytes += other.activation_bytes;
    linear_input_bytes += other.linear_input_bytes;
    recorded_bytes += other.recorded_bytes;
    working_bytes = std::max(working_bytes, other.working_bytes);
    kept_working_bytes = std::max(kept_working_bytes, other.kept_working_bytes);
    forward_working_bytes = std::max(forward_working_bytes, other.forward_working_bytes);
    return *this;
  }
};

}  // namespace interlock
