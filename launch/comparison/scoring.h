#pragma once
// The test: samples that no training and no choice of a setting has seen, scored by the weights of an arm.

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "launch/settings/run_settings.h"

namespace interlock {

struct TestRequest {
  std::vector<std::string>
      paths;                 // data.test_paths; empty: the half of the held-out part that data.held_out_part names
  int64_t sequences = 4096;  // at most
  int threads = 1;
};

struct TestScore {
  double loss = 0;              // nats per target, of the last stage
  std::map<int, double> exits;  // by stage: of every head that the arm has, the last stage's included
  int64_t targets = 0, sequences = 0;
};

// Of the weights in a run folder. The same bits for any number of threads. `still` is called now and then, and may
// throw. Error(bad_input) for weights that do not fit, where there is nothing to score, and for a loss that is not
// finite.
TestScore score_run(const std::string& folder, const TestRequest& request, const std::function<void()>& still = {});

// Kept beside the run folder by the digest of its weights, so that each arm is scored once. `digest`: of the weights.
TestScore score_once(const std::string& folder, const std::string& digest, const TestRequest& request,
                     const std::function<void()>& still = {});

// `config` of an arm with the data that it is tested on.
Config test_config(const std::string& folder, const TestRequest& request);

}  // namespace interlock
