#pragma once
// The learning rate of a step: linear warm-up, then constant, linear, polynomial or cosine decay, or a fall by a factor
// at each of some steps.

#include <cstdint>
#include <string>
#include <vector>

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
    std::vector<int64_t> milestones = {};  // of decay "steps": after each the rate is times `factor`
    double factor = 0.1;
    static Config from(const Section& optimizer, int64_t total_steps);
  };
  explicit LearningRate(Config config) : config_(std::move(config)) {}
  // Step t counts from 1. With warm-up w and total T: t/w of the peak for t <= w, then linear decay (T - t + 1) / (T -
  // w). Of decay "steps": the peak times factor^(milestones below t).
  double at(int64_t step) const;

 private:
  Config config_;
};

}  // namespace interlock
