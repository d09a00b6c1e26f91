#pragma once
// Runs a whole training on loopback threads for a test and gives back its weights and summary.

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "launch/run/run.h"
#include "launch/settings/parts.h"
#include "parallel/transport/loopback.h"
#include "runtime/storage/safetensors.h"
#include "runtime/storage/weights.h"

namespace interlock {

struct TestRun {
  RunSummary summary;
  std::shared_ptr<const SafetensorsFile> weights;
  std::string digest;
  std::vector<TransportCounters> counters;  // by rank
  std::vector<StepMetrics> metrics;         // per step
  std::vector<double> losses;               // of these, the last stage's
};

// `overrides` are applied to a small base config, of its own for "model.name=mlp",
// "model.name=resnet" and "data.name=labelled". The corpus
// and the weights file lie in a temporary folder of the test.
RunSettings settings_for_test(const std::vector<std::string>& overrides);
// What a rank runs over, made of its loopback transport.
using TransportOver = std::function<std::unique_ptr<Transport>(Transport&)>;
// No checkpoints unless the request asks for them, into settings.folder.
TestRun run_on_loopback(const RunSettings& settings, const RunRequest& request = {.checkpoints = false},
                        const TransportOver& over = {});
// `count` grey images of 8 x 8 and their labels as IDX files, by the formula of tests/golden/resnet: folder/images and
// folder/labels.
void write_images(const std::string& folder, int count);
// A new empty folder of this test process, removed at its end.
std::string new_folder();
// The tensor of a file as a LibTorch tensor (a copy).
at::Tensor tensor_of(const SafetensorsFile& file, const std::string& name);
double largest_entry(const at::Tensor& tensor);
at::Tensor minus(const at::Tensor& a, const at::Tensor& b);

}  // namespace interlock
