#pragma once
// The training batches of one replica, made by a thread of its own while the batch before is computed on.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <utility>

#include "runtime/data/loader.h"
#include "runtime/data/look_ahead.h"

namespace interlock {

class BatchStream {
 public:
  struct Request {
    int64_t replica = 0;
    int64_t first_step = 1, last_step = 0;  // both included; the last below the first: no batch at all
    // Which parts this rank needs in a step; asked by the stream's thread.
    std::function<BatchParts(int64_t step)> parts = [](int64_t) { return BatchParts{}; };
    // Batches that are kept ready beyond the one asked for: the next, and one more for a consumer that takes two at
    // once.
    size_t ahead = 2;
  };
  // Begins to make batches at once, in the order of steps and microbatches. `first_step` comes after the loader's
  // start.
  BatchStream(std::shared_ptr<const Loader> loader, Request request);

  // The batch of a microbatch of a step, bit for bit what Loader::training makes. Each is taken once, by one thread;
  // microbatches of a step may be taken in any order (those before a taken one are made and kept). Errors that come up
  // while a batch is made are thrown here. std::logic_error for a batch out of the range, or one taken before.
  Batch take(int64_t step, int64_t microbatch) { return ahead_.take({step, microbatch}); }
  // Since the start, for batches that were not ready.
  double seconds_waited() const { return ahead_.seconds_waited(); }

 private:
  using Place = std::pair<int64_t, int64_t>;  // step, microbatch
  LookAhead<Place, Batch> ahead_;
};

}  // namespace interlock
