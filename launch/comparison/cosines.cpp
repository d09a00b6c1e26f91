#include "launch/comparison/cosines.h"

#include <ATen/Parallel.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <numeric>
#include <vector>

#include "launch/comparison/trained_model.h"
#include "launch/settings/parts.h"
#include "launch/settings/plans.h"
#include "runtime/core/error.h"
#include "runtime/storage/atomic_file.h"
#include "runtime/storage/json_file.h"

namespace interlock {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using Tensors = std::vector<at::Tensor>;

Tensors trained_in(const torch::nn::Module& module) {
  Tensors all;
  for (const at::Tensor& parameter : module.parameters())
    if (parameter.requires_grad()) all.push_back(parameter);
  return all;
}

// Adds the gradient of `loss` at `parameters` to `sums`; a parameter that it does not depend on adds nothing.
void add_gradient(const at::Tensor& loss, const Tensors& parameters, Tensors& sums) {
  const Tensors gradients = torch::autograd::grad({loss}, parameters, {}, true, false, true);
  sums.resize(parameters.size());
  for (size_t i = 0; i < gradients.size(); ++i) {
    if (!gradients[i].defined()) continue;
    const at::Tensor one = gradients[i].to(at::kDouble);
    sums[i] = sums[i].defined() ? sums[i] + one : one;
  }
}

double cosine(const Tensors& one, const Tensors& other) {
  double product = 0, first = 0, second = 0;
  for (size_t i = 0; i < one.size(); ++i) {
    if (one[i].defined()) first += (one[i] * one[i]).sum().item<double>();
    if (other[i].defined()) second += (other[i] * other[i]).sum().item<double>();
    if (one[i].defined() && other[i].defined()) product += (one[i] * other[i]).sum().item<double>();
  }
  return product / std::sqrt(first * second);
}

struct StageGradients {
  Tensors parameters, own, global;
};

// One batch: the losses of all heads on one graph, then each stage's two gradients.
void add_batch(const TrainedModel& model, const Matrix& weights, const Batch& batch,
               std::vector<StageGradients>& stages) {
  const ForwardContext context{.batch = &batch, .training = false};
  at::Tensor hidden = batch.inputs;
  std::vector<at::Tensor> losses;
  for (const TrainedModel::Slice& slice : model.stages) {
    hidden = slice.body->forward(hidden, context);
    losses.push_back(slice.head ? slice.head->loss(hidden, context).sum : at::Tensor());
  }
  for (size_t stage = 0; stage < stages.size(); ++stage) {
    at::Tensor taught;
    for (size_t loss = stage; loss < losses.size(); ++loss) {
      if (weights[stage][loss] == 0) continue;
      const at::Tensor one = losses[loss] * weights[stage][loss];
      taught = taught.defined() ? taught + one : one;
    }
    if (!taught.defined() || stages[stage].parameters.empty()) continue;
    add_gradient(taught, stages[stage].parameters, stages[stage].own);
    add_gradient(losses.back(), stages[stage].parameters, stages[stage].global);
  }
}

}  // namespace

std::map<int, double> gradient_cosines(const std::string& folder, int64_t samples) {
  const RunSettings settings = read_settings(Config::from_file((fs::path(folder) / "config.toml").string()));
  const auto dataset = make_dataset(settings);
  dataset->open();
  const TrainedModel model = load_trained_model(settings, *dataset, folder);
  const Matrix weights = plan_request(settings, *model.model).rule.weights;
  std::vector<StageGradients> stages;
  for (const TrainedModel::Slice& slice : model.stages) stages.push_back({trained_in(*slice.body), {}, {}});
  at::set_num_threads(1);  // sums in the same order on every machine
  const int64_t all = std::min(samples, dataset->samples(Split::held_out)),
                size = settings.parallel.batch.microbatch_size;
  for (int64_t first = 0; first < all; first += size) {
    std::vector<int64_t> numbers(static_cast<size_t>(std::min(size, all - first)));
    std::iota(numbers.begin(), numbers.end(), first);
    add_batch(model, weights, dataset->batch(Split::held_out, numbers), stages);
  }
  std::map<int, double> cosines;
  for (size_t stage = 0; stage < stages.size(); ++stage) {
    if (stages[stage].own.empty()) continue;
    const double value = cosine(stages[stage].own, stages[stage].global);
    if (std::isfinite(value)) cosines[static_cast<int>(stage)] = value;
  }
  return cosines;
}

std::map<int, double> gradient_cosines_once(const std::string& folder, const std::string& digest, int64_t samples) {
  const std::string file = folder + ".cosines.json", key = message(digest, " ", samples);
  std::map<int, double> cosines;
  std::error_code absent;
  if (fs::exists(file, absent)) {
    const json kept = read_json(file);
    if (kept.is_object() && kept.value("key", "") == key) {
      for (const auto& [stage, value] : kept.at("cosines").items()) cosines[std::stoi(stage)] = value;
      return cosines;
    }
  }
  cosines = gradient_cosines(folder, samples);
  json values = json::object();
  for (const auto& [stage, value] : cosines) values[std::to_string(stage)] = value;
  write_atomically(file, json{{"key", key}, {"cosines", values}}.dump(2) + "\n");
  return cosines;
}

}  // namespace interlock
