#pragma once
// Tensors that learn together: their gradients in one contiguous buffer (one reduction, one norm), their optimizer,
// and, where its state is shared out over replicas, the part of it that this replica keeps.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "parallel/transport/group.h"
#include "runtime/optimization/optimizer.h"

namespace interlock {

using MakeOptimizer = std::function<std::unique_ptr<Optimizer>()>;

// Which share of the optimizer's state is kept here (Rajbhandari et al., "ZeRO", SC 2020, stage 1).
struct StateShare {
  int position = 0, of = 1;
};

class Trainable {
 public:
  // Elements [begin, end) of parameter number `parameter` in memory order; a whole parameter where nothing is cut.
  struct Piece {
    size_t parameter = 0;
    int64_t begin = 0, end = 0;
    int keeper = 0;  // position among the replicas
  };
  struct NamedTensor {
    std::string name;  // global
    at::Tensor value;
  };

  Trainable(const std::vector<NamedTensor>& tensors, const MakeOptimizer& make_optimizer, StateShare share);
  const std::vector<Parameter>& parameters() const { return parameters_; }
  at::Tensor& gradient() { return gradient_; }  // flat
  // Elements of gradient() before parameter number i; i = parameters().size(): all.
  int64_t offset(size_t i) const { return offsets_[i]; }

  // Adds factor * gradient of parameter number i; an undefined gradient is zero. Every parameter is given one in every
  // microbatch, or none of them ever.
  void accumulate(size_t i, const at::Tensor& gradient, double factor);
  double squared_norm() const;  // in float64
  void scale(double factor);
  // Updates what this replica keeps and clears the gradients.
  void update(double learning_rate);
  // After update(), when the state is shared out: everybody gets what the others updated.
  void exchange_values(Group& replicas);
  bool is_shared() const { return share_.of > 1; }

  Optimizer& optimizer() { return *optimizer_; }
  const std::vector<Piece>& pieces() const { return pieces_; }  // of all keepers, in memory order
  // Where in optimizer().state() the state of a piece kept here stands.
  const std::vector<size_t>& kept() const { return kept_; }  // indices into pieces()

 private:
  void cut(bool elementwise);
  std::span<std::byte> bytes_of(const Piece& piece) const;

  StateShare share_;
  std::vector<Parameter> parameters_;
  std::vector<int64_t> offsets_{0};
  std::vector<bool> started_;  // something was accumulated since the last update: until then a gradient is copied
  at::Tensor gradient_;
  std::unique_ptr<Optimizer> optimizer_;
  std::vector<Piece> pieces_;
  std::vector<size_t> kept_;
};

}  // namespace interlock
