#pragma once
// Which samples make the microbatch (step, replica, m). The same sample sequence for any replicas x microbatches that
// make the same global batch, and independent of the number of steps.
//
// Samples of unequal length are sorted by it within a step, so that a microbatch has samples of like length and is
// padded little; which of those buckets a microbatch gets is shuffled, so that no replica gets all the long ones. What
// a step holds stays the same.

#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "runtime/data/dataset.h"

namespace interlock {

struct BatchShape {
  int64_t replicas = 1, microbatches = 1, microbatch_size = 1;
  int64_t samples_per_step() const { return replicas * microbatches * microbatch_size; }
};

// From step `at_step` on, until the next phase, a step has so many microbatches: a ramp of the batch size.
struct BatchPhase {
  int64_t at_step = 1;
  int64_t microbatches = 1;
};

// Where a run goes on: `samples` were consumed through `step`. A resumed run may have another global batch.
struct DataPosition {
  int64_t step = 0, samples = 0;
};

class Loader {
 public:
  // Steps before the first phase have the microbatches of `shape`, which are also the most a phase may have.
  // Error(config) for phases that do not ascend or do not fit, and for a batch that no machine holds.
  Loader(std::shared_ptr<const Dataset> dataset, BatchShape shape, std::vector<BatchPhase> phases = {},
         DataPosition start = {});

  // Steps count from 1 and come after the start, replicas and microbatches count from 0.
  Batch training(int64_t step, int64_t replica, int64_t microbatch, BatchParts parts = {}) const;
  // Targets predicted in all microbatches of all replicas of a step: the divisor of its loss.
  int64_t training_targets(int64_t step) const;
  // Those of one replica; their sum over replicas is the number above.
  int64_t training_targets(int64_t step, int64_t replica) const;
  int64_t microbatches(int64_t step) const;  // of each replica
  // How wide the batch of a microbatch is, and how many tokens a step computes in all, padding included.
  int64_t width(int64_t step, int64_t replica, int64_t microbatch) const;
  int64_t tokens(int64_t step) const;
  int64_t samples_per_step(int64_t step) const;
  // The number of a step's first sample: how many were consumed before it, those before the start included. Also for
  // step start.step + 1 .. any, so that first_sample(step + 1) is the position to save after a step. Error(config)
  // beyond 2^63.
  int64_t first_sample(int64_t step) const;

  // Held-out microbatch i of microbatch_size samples; the last may be smaller. `limit` bounds the samples used.
  int64_t held_out_microbatches(int64_t limit) const;
  Batch held_out(int64_t limit, int64_t i, BatchParts parts = {}) const;
  int64_t held_out_samples(int64_t limit, int64_t i) const;  // how many samples that microbatch has
  int64_t held_out_width(int64_t limit, int64_t i) const;

  const Dataset& dataset() const { return *dataset_; }
  const BatchShape& shape() const { return shape_; }

 private:
  int64_t predicted(int64_t first, int64_t samples) const;
  std::vector<int64_t> numbers(int64_t step, int64_t replica, int64_t microbatch) const;
  std::vector<int64_t> held_out_numbers(int64_t limit, int64_t i) const;
  std::vector<int64_t> by_length(Split split, int64_t first, int64_t count) const;

  std::shared_ptr<const Dataset> dataset_;
  BatchShape shape_;
  std::vector<BatchPhase> phases_;  // by step, the first at step 1
  DataPosition start_;
  // Of unequal samples, those of the last few steps that were asked for, by length.
  using Numbers = std::shared_ptr<const std::vector<int64_t>>;
  Numbers sorted(int64_t step) const;
  mutable std::mutex sorting_;
  mutable std::map<int64_t, Numbers> sorted_;
};

}  // namespace interlock
