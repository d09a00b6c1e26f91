#pragma once
// The truth that the engine is held against: one process, plain autograd on the whole graph, no plan, no stream, no
// detached boundary. Stage k's body follows the gradient of sum_j A[k][j] L_j, head j that of L_j. About a page, on
// purpose.

#include <ATen/core/Tensor.h>

#include <map>
#include <string>

#include "launch/settings/run_settings.h"

namespace interlock {

struct ReferenceResult {
  std::map<std::string, at::Tensor> parameters;    // by global name, after the last step
  std::vector<double> losses;                      // of the last stage, per step
  std::vector<std::map<int, double>> head_losses;  // of every head that runs, per step
  std::vector<double> gradient_norms;              // of bodies and readout, per step, before clipping
  std::vector<std::map<int, double>> stage_norms;  // of each body, the last one's with the readout: as above
  double validation_loss = 0;                      // after the last step
  std::map<int, double> validation_losses;         // of every head that ran in it
};

// Reads the same settings as a run, model.frozen too (patterns of * and ?); optimizer "sgd" and "adamw", constant rate
// after warm-up or linear decay.
ReferenceResult train_reference(const RunSettings& settings);

}  // namespace interlock
