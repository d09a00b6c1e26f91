#pragma once
// Which samples make the microbatch (step, replica, m). The same sample sequence for any replicas x microbatches that
// make the same global batch, and independent of the number of steps.

#include <memory>

#include "runtime/data/dataset.h"

namespace interlock {

struct BatchShape {
  int64_t replicas = 1, microbatches = 1, microbatch_size = 1;
  int64_t samples_per_step() const { return replicas * microbatches * microbatch_size; }
};

class Loader {
 public:
  Loader(std::shared_ptr<const Dataset> dataset, BatchShape shape) : dataset_(std::move(dataset)), shape_(shape) {}

  // Steps count from 1, replicas and microbatches from 0.
  Batch training(int64_t step, int64_t replica, int64_t microbatch) const;
  // Targets predicted in all microbatches of all replicas of a step: the divisor of its loss.
  int64_t training_targets(int64_t step) const;
  // Held-out microbatch i of microbatch_size samples; the last may be smaller. `limit` bounds the samples used.
  int64_t held_out_microbatches(int64_t limit) const;
  Batch held_out(int64_t limit, int64_t i) const;
  int64_t held_out_samples(int64_t limit, int64_t i) const;  // how many samples that microbatch has

  const Dataset& dataset() const { return *dataset_; }
  const BatchShape& shape() const { return shape_; }

 private:
  std::shared_ptr<const Dataset> dataset_;
  BatchShape shape_;
};

}  // namespace interlock
