#pragma once
// The interface of a model: a chain of blocks that can be built in slices, and heads that can be put on any block's
// output. Single-device code: no rank, stage or message appears here. One model per file, registered by name.
//
// A model is cut between units: whole blocks, or pieces of blocks where it offers such (ModelSettings::unit).
// Everything below counts in the units that the model was made with.
//
// Names of parameters are global: `body(4, 6)` registers its modules so that named_parameters() of the slice already
// gives "roberta.encoder.layer.4...." whatever the cut. Start values depend on (seed, global name) only.

#include <torch/nn/module.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "models/costs.h"
#include "models/insertion_site.h"
#include "models/parameter_access.h"
#include "models/precision.h"
#include "models/unit.h"
#include "runtime/core/config.h"
#include "runtime/core/registry.h"
#include "runtime/data/batch.h"
#include "runtime/data/image_shape.h"
#include "runtime/data/objective.h"

namespace interlock {

class Insertion;       // models/insertion.h
struct KeyValueCache;  // models/key_value_cache.h

// What a forward pass depends on beside its input and parameters. Keys every random draw.
struct ForwardContext {
  const Batch* batch = nullptr;  // targets and lengths; inputs too on the first slice
  uint64_t seed = 1;
  int64_t step = 0;
  bool training = true;                   // false: no dropout
  ParameterAccess* parameters = nullptr;  // of whoever trains; outlives the graph
  int64_t microbatch = 0;                 // of the step, over all replicas: keys draws about structure
  at::Tensor features = {};               // for a head that reads them (Head::reads_features); detached
  bool recomputed = false;                // run again for a pass back: buffers have taken in this forward pass already
  KeyValueCache* cache = nullptr;         // of texts that are continued token by token (models/key_value_cache.h)
};

// Units [begin, end) of a model; the slice that begins at 0 holds what stands before unit 0 (embeddings).
//
// A slice is a chain of segments (the embeddings where it has them apart, then one per unit). A segment is what is
// walked back, recomputed and reduced over replicas on its own; with what stands on both sides it shares nothing but
// the tensor handed over.
class Body : public torch::nn::Module {
 public:
  virtual int64_t segments() const = 0;
  virtual int64_t segments_before_units() const { return 0; }  // the embeddings of the first slice
  // Segment 0 of the first slice: `input` is batch->inputs. Others: the output of the segment (or slice) before,
  // [samples, ...]. Never changes its input. The same input and context give the same bits, however often it is run.
  // In training a pass may write buffers (running statistics), which no pass in training reads; not when recomputed.
  virtual at::Tensor forward_segment(int64_t segment, const at::Tensor& input, const ForwardContext& context) = 0;
  // The parameters of a segment; those of all segments in turn are parameters() of the slice, in its order.
  virtual std::vector<at::Tensor> segment_parameters(int64_t segment) const = 0;
  // Puts an insertion at a site of this slice, behind those that are there, and registers its children below the site.
  // Before anybody asks for the slice's parameters.
  virtual void insert(const InsertionSite& site, std::shared_ptr<Insertion> insertion);
  // All segments.
  at::Tensor forward(const at::Tensor& input, const ForwardContext& context) {
    at::Tensor hidden = input;
    for (int64_t i = 0; i < segments(); ++i) hidden = forward_segment(i, hidden, context);
    return hidden;
  }
};

struct LossSum {
  at::Tensor sum;     // scalar with graph: the sum over predicted targets; 0 when there are none
  int64_t count = 0;  // how many were predicted
  // Outside training, of targets that are one per sample: float64 [count, 3], what was guessed (a class or a score),
  // what is true, and how many classes score higher than the true one (0 of scores). Else undefined.
  at::Tensor guesses = {};
};

// A readout with its loss, on the output of some unit.
class Head : public torch::nn::Module {
 public:
  virtual LossSum loss(const at::Tensor& hidden, const ForwardContext& context) = 0;
  // Scores of every class for the predicted positions only: [predicted, classes], in row-major order of batch->targets.
  virtual at::Tensor scores(const at::Tensor& hidden, const ForwardContext& context) = 0;
  // Whether the loss also looks at ForwardContext::features: what the first unit of the slice below the head takes in.
  virtual bool reads_features() const { return false; }
  // A head that reads through a copy of the model's readout: (name of the readout's parameter, the copy). The copies
  // are no parameters: no gradient and no optimizer touches them; whoever trains refreshes them. At first they hold the
  // readout's start values.
  virtual std::vector<std::pair<std::string, at::Tensor>> readout_copies() { return {}; }
};

// A parameter of the readout that always equals one of the first slice. Both modules hold a tensor of their own;
// whoever trains sums their gradients and updates both alike. They start equal.
struct Tie {
  std::string body, readout;  // global names; files hold the first alone
  int64_t numbers = 0;        // how many it has
  bool trained = true;        // false: frozen, so there is nothing to sum
};

// The tensor that passes between two slices.
struct Boundary {
  std::vector<int64_t> shape;  // without the sample dimension: [length, width], [channels, height, width]
  at::ScalarType type = at::kFloat;
  // Which of them is the number of tokens: of a batch that is padded to fewer than usual, as many as it has. -1: none.
  int length_at = -1;
};

class Model {
 public:
  virtual ~Model() = default;
  virtual int64_t units() const = 0;
  // Whether it can be cut between such units.
  virtual bool offers(Unit unit) const { return unit == Unit::block; }
  // The layer, from 0 on, that a unit is or is a part of, where the layer may be left out: what it takes could pass on
  // in place of what it makes. The last units of a slice are its last segments, one each.
  virtual std::optional<int64_t> layer_of(int64_t) const { return std::nullopt; }
  // A slice. 0 <= begin < end <= units().
  virtual std::shared_ptr<Body> body(int64_t begin, int64_t end) const = 0;
  // The model's own readout, on the output of the last unit.
  virtual std::shared_ptr<Head> readout() const = 0;
  // A local head on the output of the first `units_below` units. Its parameters are named by its place in the model,
  // whatever the units: above n whole blocks heads.<n>.*.
  virtual std::shared_ptr<Head> head(const std::string& kind, int64_t units_below) const = 0;
  virtual std::vector<std::string> head_kinds() const = 0;
  // Where a technique may act, in the order in which the network computes.
  virtual std::vector<InsertionSite> sites() const { return {}; }
  // Whether a parameter of this global name was inserted: weights that lack it are none the less whole.
  virtual bool is_inserted(const std::string& /*parameter*/) const { return false; }

  // Tensors that files hold under a second name too: (name in the file, name of the parameter).
  virtual std::vector<std::pair<std::string, std::string>> aliases() const { return {}; }

  virtual std::optional<Tie> tie() const { return std::nullopt; }

  // Costs per microbatch of `samples` samples. Unit 0 includes what stands before it.
  virtual std::vector<Costs> unit_costs(int64_t samples) const = 0;
  virtual Costs readout_costs(int64_t samples) const = 0;
  virtual Costs head_costs(const std::string& kind, int64_t samples) const = 0;
  // Where they depend on the place, as boundaries do: of a head above the first `units_below` units.
  virtual Costs head_costs_above(const std::string& kind, int64_t /*units_below*/, int64_t samples) const {
    return head_costs(kind, samples);
  }
  // Type of the inputs that the first slice reads: kLong for tokens, kFloat for numbers.
  virtual at::ScalarType input_type() const = 0;
  virtual int64_t classes() const = 0;  // that the readout scores: the vocabulary, of tokens; 1 score of a sample
  virtual int64_t vocabulary() const { return 0; }  // of a model of tokens: rows of its table
  virtual int64_t max_length() const { return 1; }  // tokens that a sample may have
  // What stands behind the first `units_below` units, and passes on from there. 1 <= units_below <= units().
  virtual Boundary boundary(int64_t units_below) const = 0;
};

struct ModelSettings {
  Section model;  // [model]
  uint64_t seed = 1;
  int64_t classes = 0;        // of the dataset: vocabulary or number of classes; 0: not known yet
  int64_t features = 0;       // of the dataset: inputs of a model without an embedding
  int64_t sample_length = 0;  // tokens per sample at most
  Precision precision = Precision::float32;
  double predicted_share = 1.0;             // of the tokens of a sample, how many have a target; for costs
  Unit unit = Unit::block;                  // one that the model offers
  Objective objective = Objective::masked;  // of the dataset: what the readout and the heads score
  ImageShape image = {};                    // of the dataset, where samples are images
};

using Models = Registry<Model, const ModelSettings&>;

}  // namespace interlock
