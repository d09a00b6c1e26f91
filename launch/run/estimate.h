#pragma once
// What a run will cost, from the model's numbers: time for the simulation, memory for every rank.

#include <vector>

#include "launch/run/assemble.h"
#include "parallel/plan/simulate.h"

namespace interlock {

// Costs for simulate of a plan with these flows, at `gflops` per thread and `gigabytes_per_second` between ranks.
SimulationCosts estimate_costs(const RunSettings& settings, const Model& model, const std::vector<int>& partition,
                               const Flows& flows, double gflops = 50, double gigabytes_per_second = 5);

// Bytes that a rank (or a stage) holds.
struct Holdings {
  double parameters = 0, gradients = 0, optimizer = 0;
  double data = 0;            // tokenizer, and where samples begin; measured
  double readout_copies = 0;  // of a shared readout: one per stage that reads through it, and the one that comes next
  double checkpoint = 0;      // the copy that is being written while training goes on
  double activations = 0;     // of microbatches in flight, messages, and what a pass needs beside; of ranks only
  double sums = 0;            // what is on its way while gradients are summed over ranks; of ranks only
  double fixed() const { return parameters + gradients + optimizer + readout_copies + checkpoint; }
  double all() const { return fixed() + activations + sums + data; }
  Holdings& operator+=(const Holdings& other);
};
// Which stages have a head: those that a rule of one of the run's steps teaches through their own loss, and the last. A
// change of rule that comes after the last step builds none.
std::vector<bool> stages_with_heads(const RunSettings& settings);
Holdings stage_holdings(const RunSettings& settings, const Model& model, const std::vector<int>& partition, int stage);
// Per rank, the most that any of the run's plans needs (one for each change of the rule or of the batch).
std::vector<Holdings> rank_holdings(const RunSettings& settings, const Model& model, const std::vector<int>& partition);

// What opening the data adds to this process's memory, in bytes; 0 when the data is not here.
double measure_data(const RunSettings& settings);

// Peak memory in bytes of a rank that holds nothing: this program, started, with its transport and its libraries' own
// memory. Measured in a process of its own (`interlock doctor --rank-memory`); 0 when that fails.
double measure_empty_rank();
// What that process does and answers.
double empty_rank_bytes();

}  // namespace interlock
