#pragma once
// One microbatch as a model sees it.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace interlock {

inline constexpr int64_t ignored_target = -100;

struct Batch {
  at::Tensor inputs;   // int64 [samples, length] tokens, or float32 [samples, features]
  at::Tensor targets;  // int64 [samples, length] or [samples]; ignored_target where nothing is predicted
  at::Tensor lengths;  // int64 [samples], tokens before the padding; undefined when nothing in it is padded
  std::vector<int64_t>
      sample_ids;         // [samples] the global sample number, counted from 0 over the run: keys noise on data
  int64_t predicted = 0;  // how many targets are not ignored
};

}  // namespace interlock
