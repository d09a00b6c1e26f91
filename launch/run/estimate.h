#pragma once
// What a run will cost, from the model's numbers: time for the simulation, memory for every rank.

#include <vector>

#include "launch/run/assemble.h"
#include "parallel/plan/simulate.h"

namespace interlock {

// Costs for simulate, at `gflops` per thread and `gigabytes_per_second` between ranks.
SimulationCosts estimate_costs(const RunSettings& settings, const Model& model, const std::vector<int>& partition,
                               double gflops = 50, double gigabytes_per_second = 5);

// Bytes that a rank (or a stage) holds.
struct Holdings {
  double parameters = 0, gradients = 0, optimizer = 0;
  double data = 0;            // tokenizer, and where samples begin; measured
  double readout_copies = 0;  // of a shared readout: in use, and coming next
  double checkpoint = 0;      // the copy that is being written while training goes on
  double activations = 0;     // of microbatches in flight, messages, and what a pass needs beside; of ranks only
  double fixed() const { return parameters + gradients + optimizer + readout_copies + checkpoint; }
  double all() const { return fixed() + activations + data; }
  Holdings& operator+=(const Holdings& other);
};
Holdings stage_holdings(const RunSettings& settings, const Model& model, const std::vector<int>& partition, int stage);
// Per rank; the activations are what a simulation with these costs found beyond what is fixed.
std::vector<Holdings> rank_holdings(const RunSettings& settings, const Model& model, const std::vector<int>& partition,
                                    const Simulation& simulation);

// What opening the data adds to this process's memory, in bytes; 0 when the data is not here.
double measure_data(const RunSettings& settings);

// Peak memory in bytes of a rank that holds nothing: this program, started, with its transport and its libraries' own
// memory. Measured in a process of its own (`interlock doctor --rank-memory`); 0 when that fails.
double measure_empty_rank();
// What that process does and answers.
double empty_rank_bytes();

}  // namespace interlock
