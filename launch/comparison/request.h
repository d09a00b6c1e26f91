#pragma once
// What a comparison is asked for.

#include <cstdint>
#include <string>
#include <vector>

#include "launch/comparison/groups.h"

namespace interlock {

struct ComparisonRequest {
  std::string config;
  std::vector<std::string> overrides;  // --set
  std::vector<RuleWord> rules;
  std::vector<std::string> heads;  // empty: the config's
  std::vector<int> stages;         // empty: the config's
  int seeds = 5, tune = 6;
  int64_t steps = 0;  // 0: the config's
  std::string output;
  int64_t test_sequences = 4096;
  bool controls = false, diagnostics = false;
  int at_once = 1;                // arms that run at a time; those that measure costs run alone
  std::vector<double> links;      // bytes per second, each put into the transport of a short run
  std::vector<int> microbatches;  // per step, each in a short run
  std::string command;            // as it was given, for the report
};

}  // namespace interlock
