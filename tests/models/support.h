#pragma once
// What the tests of models share: a model from a few lines of TOML, a small batch, and plain loops over tensors.

#include <ATen/Parallel.h>
#include <torch/nn/module.h>

#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "models/model.h"

namespace interlock::tests {

// Threads that wait for each other cost minutes on a busy machine.
inline const bool on_one_thread = (at::set_num_threads(1), true);

struct Given {
  std::string name = "roberta";
  std::string toml;  // lines of [model]
  uint64_t seed = 1;
  int64_t classes = 0, features = 0, sample_length = 0;
  Precision precision = Precision::float32;
  double predicted_share = 0.15;
  Unit unit = Unit::block;
  Objective objective = Objective::masked;
};

inline std::unique_ptr<Model> make_model(const Given& given) {
  const Config config = Config::from_text("[model]\n" + given.toml);
  const ModelSettings settings{config.section("model"), given.seed,          given.classes,
                               given.features,          given.sample_length, given.precision,
                               given.predicted_share,   given.unit,          given.objective};
  return Models::instance().create("model", given.name, settings);
}

// An int64 tensor of equal rows of numbers.
at::Tensor integers(const std::vector<std::vector<int64_t>>& rows);
// Samples of `length` tokens below `vocabulary`, every third position predicted, padded where `lengths` says so.
Batch token_batch(int64_t samples, int64_t length, int64_t vocabulary, const std::vector<int64_t>& lengths = {});
// Numbers in [-1, 1) that depend on their place only.
at::Tensor some_numbers(const std::vector<int64_t>& shape, at::ScalarType type);

// All entries, as doubles.
std::vector<double> listed(const at::Tensor& tensor);
double largest(const std::vector<double>& values);
double largest_difference(const std::vector<double>& a, const std::vector<double>& b);
bool bit_equal(const at::Tensor& a, const at::Tensor& b);

}  // namespace interlock::tests
