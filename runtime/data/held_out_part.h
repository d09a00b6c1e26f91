#pragma once
// A dataset of which only a part of the held-out samples is seen: so that what settings are chosen by and what is
// scored at the end are never the same samples.

#include <memory>

#include "runtime/data/dataset.h"

namespace interlock {

// data.held_out_part: "all", or one of two halves.
enum class HeldOutPart { all, validation, test };

// `dataset` itself for `all`. Which half a sample belongs to follows from a hash of its content before masking (of a
// text its tokens), so copies of a sample lie in one half, and the seed of a run moves none between them. open() reads
// all held-out samples. Error(bad_input) there when a half is empty.
std::shared_ptr<Dataset> with_held_out_part(std::shared_ptr<Dataset> dataset, HeldOutPart part);

// The key, and the same as a part. Asked for only where it stands in the config.
HeldOutPart read_held_out_part(const Section& data);

}  // namespace interlock
