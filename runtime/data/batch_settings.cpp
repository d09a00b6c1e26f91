#include "runtime/data/batch_settings.h"

#include <limits>

#include "runtime/core/error.h"

namespace interlock {
namespace {

std::vector<BatchPhase> read_phases(const Section& parallel, int64_t most) {
  std::vector<BatchPhase> phases;
  for (const Section& change : parallel.sections("batch_change")) {
    const int64_t before = phases.empty() ? 0 : phases.back().at_step;
    const int64_t at_step = change.integer("at_step", 1, 1);
    if (at_step <= before)
      change.refuse("at_step", message(at_step, " does not come after step ", before, " of the change before it"));
    phases.push_back({at_step, change.integer("microbatches", most, 1, most)});
  }
  return phases;
}

}  // namespace

BatchSettings BatchSettings::from(const Section& parallel, int64_t most_microbatches) {
  return {parallel.integer("microbatch_size", 2, 1, std::numeric_limits<int>::max()),
          read_phases(parallel, most_microbatches)};
}

}  // namespace interlock
