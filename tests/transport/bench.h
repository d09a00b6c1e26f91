#pragma once
// What the parts of bench_transport share.

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <vector>

#include "parallel/transport/transport.h"

namespace interlock::bench {

inline constexpr uint64_t large_bytes = uint64_t{64} << 20;  // an activation of a large microbatch

// Seconds of CLOCK_MONOTONIC, which is the same clock for all processes of a machine.
inline double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

inline double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + values.size() / 2, values.end());
  return values[values.size() / 2];
}

// Some 20 us of arithmetic on one core that waits for nothing: the rank computes.
inline double compute_a_little(double seed) {
  double values[8];
  for (int i = 0; i < 8; ++i) values[i] = seed + i;
  for (int round = 0; round < 5000; ++round)
    for (double& value : values) value = value * 0.999999 + 1e-6;
  double sum = 0;
  for (const double value : values) sum += value;
  return sum;
}

void while_computing(Transport& transport);  // bench_busy.cpp
int plain_mpi();                             // bench_plain.cpp: the library alone, as a measure

}  // namespace interlock::bench
