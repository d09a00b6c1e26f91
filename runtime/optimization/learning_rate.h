#pragma once
// The learning rate of a step: linear warm-up, then constant, linear, polynomial or cosine decay.

#include <cstdint>
#include <string>

#include "runtime/core/config.h"

namespace interlock {

class LearningRate {
 public:
  struct Config {
    double peak = 1e-3;
    int64_t warmup_steps = 10;  // 0: the full rate from step 1
    std::string decay = "linear";
    double power = 1.0;  // of the polynomial decay
    double floor = 0.0;  // share of the peak that cosine and polynomial decay end at
    int64_t total_steps = 1;
    static Config from(const Section& optimizer, int64_t total_steps);
  };
  explicit LearningRate(Config config) : config_(std::move(config)) {}
  // Step t counts from 1. With warm-up w and total T: t/w of the peak for t <= w, then linear decay (T - t + 1) / (T -
  // w).
  double at(int64_t step) const;

 private:
  Config config_;
};

}  // namespace interlock
