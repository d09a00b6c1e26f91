#pragma once
// One microbatch as a model sees it.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace interlock {

inline constexpr int64_t ignored_target = -100;

// Which parts of a batch are wanted. The first stage takes the inputs and a loss the targets; a rank with neither needs
// only what a batch always has: lengths, sample numbers and the count of targets.
struct BatchParts {
  bool inputs = true, targets = true;
  bool any() const { return inputs || targets; }
};

struct Batch {
  // int64 [samples, length] tokens, or float32 [samples, features]; undefined when not asked for
  at::Tensor inputs;
  // int64 [samples, length] or [samples]; ignored_target where nothing is predicted. Or float32 [samples]: scores.
  // Undefined when not asked for
  at::Tensor targets;
  at::Tensor lengths;  // int64 [samples], tokens before the padding; undefined when nothing in it is padded
  // int64 [samples, length], the place of each token in its document, from 0 on, where attention and positions stay
  // within documents; undefined when a sample counts as one document. Always there, like lengths
  at::Tensor positions;
  std::vector<int64_t>
      sample_ids;         // [samples] the global sample number, counted from 0 over the run: keys noise on data
  int64_t predicted = 0;  // how many targets are not ignored
  // For who computes elsewhere than on the CPU, where asking a tensor costs a wait; undefined on the CPU. On the
  // device:
  at::Tensor sample_numbers;  // int64 [samples], as sample_ids
  at::Tensor predicted_rows;  // int64 [predicted], where targets, taken as one row, are not ignored; with targets alone
};

}  // namespace interlock
