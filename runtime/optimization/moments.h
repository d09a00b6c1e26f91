#pragma once
// What AdamW and LAMB have in common: their settings, and two moments with a count of updates per parameter. Private to
// this room.

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "runtime/optimization/optimizer.h"

namespace interlock {

struct MomentSettings {
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, weight_decay = 0.01;
  // The keys of these names; `fallback` and a preset say what they are where the file does not.
  static MomentSettings from(const Section& section, const MomentSettings& fallback);
};

struct Moment {
  at::Tensor mean, square;  // running means of the gradient and of its square, without bias correction
  at::Tensor count;         // of updates; float without dimension, as LibTorch's kernel takes it
};

// One more update of each.
void count_update(const std::vector<Moment>& moments);

// The counts where the host has to know them. On the CPU they are looked at in every step; those of a device, whose
// every look waits, once: before the first step here, when a checkpoint has been read, if there is one.
class HostCounts {
 public:
  // After count_update().
  void advance(const std::vector<Moment>& moments);
  double of(size_t i) const { return counts_[i]; }

 private:
  std::vector<double> counts_;
};

std::vector<Moment> zero_moments(const std::vector<Parameter>& parameters);
std::vector<std::string> moment_names();
std::vector<std::vector<at::Tensor>> listed_moments(const std::vector<Moment>& moments);

}  // namespace interlock
