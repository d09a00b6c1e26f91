#pragma once
// In which order the samples of a split come, and how many are held out. Shared by all datasets.

#include <cstdint>

#include "runtime/core/config.h"
#include "runtime/data/dataset.h"

namespace interlock {

// Where sample number `number` of a run is found.
struct SamplePlace {
  uint64_t epoch = 0;
  int64_t sample = 0;  // in the order of the data
};

// Each training sample comes once per epoch, in an order of that epoch; `corpus` gives parts of the data orders of
// their own. Held-out samples are shuffled too, once and for ever, so that an evaluation of a few sees a spread of
// them.
SamplePlace shuffled(uint64_t seed, Split split, int64_t number, int64_t size, uint64_t corpus = 0);

// data.held_out: a share below 1.
double read_held_out(const Section& data);
// How many of `samples` a share holds out: at least one when it is not 0, and never all of them.
int64_t held_out_count(double share, int64_t samples);

}  // namespace interlock
