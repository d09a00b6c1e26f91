#pragma once
// Parameters that learn together: values and gradients each in one flat, aligned buffer (one reduction, one norm), an
// optimizer, and, where its state is shared out over replicas, the shard of it that this replica owns. It computes and
// never communicates.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "models/model.h"
#include "runtime/optimization/optimizer.h"

namespace interlock {

using MakeOptimizer = std::function<std::unique_ptr<Optimizer>()>;

// Which share of the optimizer's state is owned here (Rajbhandari et al., "ZeRO", SC 2020, stage 1).
struct StateShare {
  int position = 0, of = 1;
};

class TrainableGroup {
 public:
  // body and readout belong to the model and are clipped together; a local head is clipped alone.
  enum class Role { body, readout, local_head };
  struct Options {
    Role role = Role::body;
    // The tensor that the first and the last stage share. Each holds a member group of it: their gradients are added
    // up, and both update alike. The first stage's member is the primary one: it is stored, and its norm counts.
    bool shared = false, primary = true;
    StateShare share = {};
    double rate_factor = 1.0, decay_factor = 1.0;  // of the learning rate and of weight decay
  };
  // Elements [begin, end) of parameter number `parameter` in memory order; a whole parameter where nothing is cut.
  struct Shard {
    size_t parameter = 0;
    int64_t begin = 0, end = 0;
    int owner = 0;  // position among the replicas
  };
  struct NamedTensor {
    std::string name;          // global
    at::Tensor value;          // a leaf of a module; from now on a view of the flat buffer
    double rate_factor = 1.0;  // of the learning rate
  };
  using Range = std::pair<int64_t, int64_t>;  // elements [first, second) of the flat buffers

  // Error(gave_up) names a tensor whose type is not that of the others.
  TrainableGroup(const std::vector<NamedTensor>& tensors, const MakeOptimizer& make_optimizer, Options options);

  const Options& options() const { return options_; }
  const std::vector<Parameter>& parameters() const { return parameters_; }
  at::Tensor& values() { return values_; }      // flat; between parameters a few unused elements, always 0
  at::Tensor& gradient() { return gradient_; }  // flat, as values()
  // The first element of parameter number i in the flat buffers; i = parameters().size(): their size.
  int64_t offset(size_t i) const { return offsets_[i]; }

  // Adds a term of the gradient of parameter number i. The first of a step overwrites what was there.
  void add_gradient(size_t i, const GradientTerm& term, double factor);
  // Parameters [begin, end) that were given nothing since the last update have a gradient of 0.
  void complete(size_t begin, size_t end);
  void complete() { complete(0, parameters_.size()); }

  // The squared norm of the gradient, in parts that do not depend on how the state is shared out: float64, one for
  // every 4096 elements of a parameter, 0 where another replica owns the part. To be completed by a sum over replicas
  // where the state is shared out, and then added up by squared_norm().
  at::Tensor& measure_norm();
  at::Tensor squared_norm() const;  // float64, no dimension

  // Updates what this replica owns.
  void update(const UpdateNumbers& numbers);
  // What was added since the last update counts no more.
  void forget_gradient() { started_.assign(started_.size(), false); }
  // Where running averages of the values are kept (Optimizer::average): those of this replica, beside the values.
  struct Average {
    size_t parameter = 0;
    int64_t begin = 0;
    at::Tensor value, average;  // flat: elements from `begin` on
  };
  std::vector<Average> averages() const;
  // Puts them in the place of the values, and the other way round; whether there are any, the same on every replica. Of
  // a group whose state is shared out, what other replicas own is to be brought together then, as after an update.
  bool exchange_averages();
  bool is_sharded() const { return options_.share.of > 1; }
  Range owned_by(int replica) const { return owned_[replica]; }

  Optimizer& optimizer() { return *optimizer_; }
  const std::vector<Shard>& shards() const { return shards_; }  // of all owners, in memory order
  // Which of them are owned here, in the order of optimizer().state().
  const std::vector<size_t>& own_shards() const { return own_shards_; }

 private:
  void lay_out(const std::vector<NamedTensor>& tensors);
  void cut(bool elementwise);
  void attach_optimizer();
  void list_runs();

  Options options_;
  std::vector<Parameter> parameters_;
  std::vector<int64_t> offsets_{0};
  std::vector<bool> started_;  // something was added since the last update
  at::Tensor values_, gradient_, squares_;
  at::Tensor runs_;  // what is owned here of gradient_, every 4096 numbers of a parameter, as run_squares takes it
  std::unique_ptr<Optimizer> optimizer_;
  std::vector<Shard> shards_;
  std::vector<size_t> own_shards_;
  std::vector<Range> owned_;           // by replica
  std::vector<int64_t> first_square_;  // per parameter, in squares_
};

}  // namespace interlock
