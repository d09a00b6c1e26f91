#pragma once
// Weights and images by formula, as tests/golden/resnet/formula.py has them, and numbers of the golden files.

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <torch/nn/module.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <numeric>
#include <string>
#include <vector>

#include "models/model.h"

namespace interlock::tests {

inline void fill_by_formula(const std::string& name, at::Tensor& values) {
  const at::NoGradGuard no_graph;
  const int phase = std::accumulate(name.begin(), name.end(), 0) % 97;
  const bool vector = values.dim() == 1;
  const double fan_in = static_cast<double>(values.numel() / values.size(0));
  const double start = vector && name.ends_with("weight") ? 1 : 0, scale = vector ? 0.1 : std::sqrt(2 / fan_in);
  at::Tensor made = at::empty(values.sizes(), at::kDouble);
  double* next = made.mutable_data_ptr<double>();
  for (int64_t i = 0; i < made.numel(); ++i) *next++ = start + scale * std::sin(0.7 * static_cast<double>(i) + phase);
  values.copy_(made);
}

inline void fill_by_formula(torch::nn::Module& module) {
  for (auto& named : module.named_parameters()) fill_by_formula(named.key(), named.value());
}

inline uint8_t pixel(int64_t sample, int64_t i) {
  return static_cast<uint8_t>((37 * i + 101 * sample + i * i / 7) % 256);
}

// Rows of samples [first, first + count).
inline Batch images_by_formula(int64_t first, int64_t count, int64_t numbers) {
  Batch batch;
  batch.inputs = at::empty({count, numbers}, at::kFloat);
  batch.targets = at::empty({count}, at::kLong);
  float* next = batch.inputs.mutable_data_ptr<float>();
  for (int64_t sample = first; sample < first + count; ++sample) {
    for (int64_t i = 0; i < numbers; ++i) *next++ = static_cast<float>(pixel(sample, i)) / 255;
    batch.targets.mutable_data_ptr<int64_t>()[sample - first] = sample * 3 % 10;
    batch.sample_ids.push_back(sample);
  }
  batch.predicted = count;
  return batch;
}

inline std::vector<double> summary(const at::Tensor& tensor) {
  const at::Tensor flat = tensor.detach().to(at::kDouble).contiguous().view({-1});
  const double* first = flat.const_data_ptr<double>();
  const int64_t count = flat.numel();
  return {flat.sum().item<double>(), flat.abs().sum().item<double>(), first[0], first[count / 2], first[count - 1]};
}

inline nlohmann::json golden_numbers(const std::string& path) { return nlohmann::json::parse(std::ifstream(path)); }

// How far a tensor's summary is from the golden one, as a share of its sum of absolute values (1 where that is smaller:
// some true gradients are zero).
inline double distance(const at::Tensor& tensor, const nlohmann::json& golden) {
  const std::vector<double> found = summary(tensor);
  double most = 0;
  for (size_t i = 0; i < found.size(); ++i) {
    const double apart = std::abs(found[i] - golden[i].get<double>());
    if (std::isnan(apart)) return apart;  // which no bound holds for; std::max would forget it
    most = std::max(most, apart);
  }
  return most / std::max(1.0, golden[1].get<double>());
}

// Of the keys in `toml`, for images of this shape.
inline std::unique_ptr<Model> resnet(const std::string& toml, ImageShape image,
                                     Precision precision = Precision::float64, int64_t classes = 10) {
  const Config config = Config::from_text("[model]\n" + toml);
  return Models::instance().create("model", "resnet",
                                   {.model = config.section("model"),
                                    .classes = classes,
                                    .features = image.numbers(),
                                    .precision = precision,
                                    .objective = Objective::classification,
                                    .image = image});
}

}  // namespace interlock::tests
