#pragma once
// The interface of a model: a chain of blocks that can be built in slices, and heads that can be put on any block's
// output. Single-device code: no rank, stage or message appears here. One model per file, registered by name.
//
// Names of parameters are global: `body(4, 6)` registers its modules so that named_parameters() of the slice already
// gives "roberta.encoder.layer.4...." whatever the cut. Start values depend on (seed, global name) only.

#include <torch/nn/module.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "models/costs.h"
#include "runtime/core/config.h"
#include "runtime/core/registry.h"
#include "runtime/data/batch.h"

namespace interlock {

// What a forward pass depends on beside its input and parameters. Keys every random draw.
struct ForwardContext {
  const Batch* batch = nullptr;  // targets and lengths; inputs too on the first slice
  uint64_t seed = 1;
  int64_t step = 0;
  bool training = true;  // false: no dropout
};

// Blocks [begin, end) of a model; the slice that begins at 0 holds what stands before block 0 (embeddings).
class Body : public torch::nn::Module {
 public:
  // First slice: `input` is batch->inputs. Others: the output of the slice before, [samples, ...]. Never changes its
  // input.
  virtual at::Tensor forward(const at::Tensor& input, const ForwardContext& context) = 0;
};

struct LossSum {
  at::Tensor sum;     // scalar with graph: the sum over predicted targets; 0 when there are none
  int64_t count = 0;  // how many were predicted
};

// A readout with its loss, on the output of some block.
class Head : public torch::nn::Module {
 public:
  virtual LossSum loss(const at::Tensor& hidden, const ForwardContext& context) = 0;
  // Scores of every class for the predicted positions only: [predicted, classes], in row-major order of batch->targets.
  virtual at::Tensor scores(const at::Tensor& hidden, const ForwardContext& context) = 0;
};

class Model {
 public:
  virtual ~Model() = default;
  virtual int64_t blocks() const = 0;
  // A slice. 0 <= begin < end <= blocks().
  virtual std::shared_ptr<Body> body(int64_t begin, int64_t end) const = 0;
  // The model's own readout, on the output of the last block.
  virtual std::shared_ptr<Head> readout() const = 0;
  // A local head on the output of the first `blocks_below` blocks; its parameters are named heads.<blocks_below>.*.
  virtual std::shared_ptr<Head> head(const std::string& kind, int64_t blocks_below) const = 0;
  virtual std::vector<std::string> head_kinds() const = 0;
  // Where a technique may insert or replace a module: global module names, in order.
  virtual std::vector<std::string> sites() const = 0;

  // Tensors that files hold under a second name too: (name in the file, name of the parameter).
  virtual std::vector<std::pair<std::string, std::string>> aliases() const { return {}; }

  // Costs per microbatch of `samples` samples. Block 0 includes what stands before it.
  virtual std::vector<Costs> block_costs(int64_t samples) const = 0;
  virtual Costs readout_costs(int64_t samples) const = 0;
  virtual Costs head_costs(const std::string& kind, int64_t samples) const = 0;
  // Shape of what passes between slices, without the sample dimension: [length, width] or [width].
  virtual std::vector<int64_t> boundary_shape() const = 0;
};

struct ModelSettings {
  Section model;  // [model]
  uint64_t seed = 1;
  int64_t classes = 0;           // of the dataset: vocabulary or number of classes
  int64_t features = 0;          // of the dataset: inputs of a model without an embedding
  int64_t sample_length = 0;     // tokens per sample at most
  bool float64 = false;          // parameters and activations in double precision (for exactness tests)
  double predicted_share = 1.0;  // of the tokens of a sample, how many have a target; for costs
};

using Models = Registry<Model, const ModelSettings&>;

}  // namespace interlock
