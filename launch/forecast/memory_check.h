#pragma once
// Holds the forecast of a run against the memory of the machine it is to run on, before a rank takes any.

#include <span>

#include "launch/forecast/measured_memory.h"
#include "launch/forecast/memory_footprint.h"

namespace interlock {

// The ranks of a run that share this machine's memory.
struct LocalRanks {
  int first = 0, count = 1;  // world ranks, one after another: as launchers number those of a node
  bool threads = false;      // of one process, which has its libraries and its data once
};

// Bytes beside what is forecast of a rank's own tensors: of each process, and of the machine (pages of files that
// several processes read).
struct Outside {
  double of_process = 0, of_machine = 0;
};
Outside outside_of(const EmptyRank& empty, double data);

// What they hold together at their peaks: `ranks` are the footprints of a replica's ranks. Other replicas write no
// weights, and of the optimizer's state only what is `sharded`.
double bytes_together(std::span<const MemoryFootprint> ranks, const LocalRanks& here, const Outside& outside,
                      bool sharded);

// Whether its ranks may compute on a GPU, whose memory is another. Without asking LibTorch or a driver, which starts
// one: the ranks do that.
bool may_be_on_gpu(const RunSettings& settings);

// What they will hold together, by the forecast. `plans`: those of the run's steps. Libraries and data are measured
// where that may decide whether it is more than `limit` bytes, and else taken to be as usual.
// `runs`: such runs at a time.
double forecast_bytes(const RunSettings& settings, const Model& model, std::span<const Plan* const> plans,
                      const LocalRanks& here, double limit, int runs = 1);

// Error(config) when the run does not fit, a warning when it hardly does or when `force` lets it try. Of a run that
// may_be_on_gpu() nothing is said.
void check_memory(const RunSettings& settings, const Model& model, std::span<const Plan* const> plans,
                  const LocalRanks& here, bool force);

}  // namespace interlock
