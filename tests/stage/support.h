#pragma once
// What the tests of a stage share: optimizers from lines of TOML, tensors of odd shapes, and a body that counts.

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "models/model.h"
#include "parallel/stage/stage.h"
#include "tests/models/support.h"

namespace interlock::tests {

// An optimizer from lines of [optimizer]; "" is adamw.
MakeOptimizer optimizer_of(const std::string& lines);

// Leaves that ask for a gradient, "p0", "p1", ..., with numbers that depend on shape and place only. One of the default
// shapes spans several blocks of 4096 elements, others end within a cache line.
inline const std::vector<std::vector<int64_t>> odd_shapes = {{5, 7}, {33},   {2, 3, 4}, {3, 20011},
                                                             {1},    {4096}, {70, 61}};
std::vector<TrainableGroup::NamedTensor> leaves(at::ScalarType type,
                                                const std::vector<std::vector<int64_t>>& shapes = odd_shapes);
// Gives every parameter of the group a gradient, numbers that depend on its shape and `factor`.
void give_gradients(TrainableGroup& group, double factor = 1.0);

// `segments` times relu(x W^T + b) on [samples, 4]. Counts how often a segment was run, with a graph or without, and
// how often it was walked back.
class CountingBody : public Body {
 public:
  explicit CountingBody(int64_t segments);
  int64_t segments() const override { return static_cast<int64_t>(weights_.size()); }
  at::Tensor forward_segment(int64_t segment, const at::Tensor& input, const ForwardContext& context) override;
  std::vector<at::Tensor> segment_parameters(int64_t segment) const override;
  void freeze(int64_t segment);

  struct Counts {
    int runs = 0, graphs = 0, walks = 0;
    bool operator==(const Counts&) const = default;
  };
  Counts& counts(int64_t segment) { return counts_[segment]; }
  Counts all() const;

 private:
  std::vector<at::Tensor> weights_, biases_;
  std::vector<Counts> counts_;
};

inline const std::vector<int64_t> counting_shape{3, 4};

}  // namespace interlock::tests
