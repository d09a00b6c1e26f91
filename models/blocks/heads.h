#pragma once
// Readouts: what turns the rows of a hidden state into scores of classes, and their loss. The rows are the predicted
// positions only (targets that are not ignored), so that a masked readout costs what it predicts; with one target per
// sample of tokens it is the first row of each sample, that of <s>. Targets that are integers are classes, whose loss
// is the cross-entropy; others are scores, whose loss is the squared distance.

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "models/blocks/layers.h"
#include "models/blocks/transformer.h"
#include "models/model.h"

namespace interlock {

// The choice of rows, and the summed loss over them; a subclass says what happens before (`prepare`, over all
// positions) and after (`classify`, over the chosen rows).
class RowHead : public Head {
 public:
  LossSum loss(const at::Tensor& hidden, const ForwardContext& context) final;
  at::Tensor scores(const at::Tensor& hidden, const ForwardContext& context) final;
  virtual at::Tensor classify(const at::Tensor& rows, const ForwardContext& context) const = 0;

 protected:
  virtual at::Tensor prepare(const at::Tensor& hidden, const ForwardContext& context) const;

 private:
  struct Chosen {
    at::Tensor scores;                            // [predicted or more, classes]: rows without a target may follow
    at::Tensor targets;                           // [predicted]
    LossSum loss(const ForwardContext& context);  // uses the scores up
    // LossSum::guesses.
    at::Tensor guessed_scores() const;
    at::Tensor guessed_classes() const;
  };
  Chosen chosen(const at::Tensor& hidden, const ForwardContext& context) const;
};

// `path`.norm.* and `path`.decoder.*: the smallest local head.
class LinearHead : public RowHead {
 public:
  LinearHead(const std::string& path, int64_t width, int64_t classes, at::ScalarType type);
  at::Tensor classify(const at::Tensor& rows, const ForwardContext& context) const override;

 private:
  std::shared_ptr<LayerNorm> norm_;
  std::shared_ptr<Linear> decoder_;
};

// LinearHead after one Transformer block `path`.block.* over all positions; `layer` keys its dropout.
class BlockHead : public LinearHead {
 public:
  BlockHead(const std::string& path, const TransformerShape& shape, uint64_t layer, int64_t classes);

 protected:
  at::Tensor prepare(const at::Tensor& hidden, const ForwardContext& context) const override;

 private:
  std::shared_ptr<TransformerBlock> block_;
};

// One Transformer block `path`.block.*, which is trained, and then a copy of the readout, which is not: a loss without
// a vocabulary matrix of its own.
class SharedReadoutHead : public RowHead {
 public:
  // `copy` holds the readout's start values.
  SharedReadoutHead(const std::string& path, const TransformerShape& shape, uint64_t layer, uint64_t seed,
                    std::shared_ptr<RowHead> copy);
  std::vector<std::pair<std::string, at::Tensor>> readout_copies() override;
  at::Tensor classify(const at::Tensor& rows, const ForwardContext& context) const override;

 protected:
  at::Tensor prepare(const at::Tensor& hidden, const ForwardContext& context) const override;

 private:
  std::shared_ptr<TransformerBlock> block_;
  std::shared_ptr<RowHead> copy_;  // not registered: its tensors are no parameters of this head
};

// Of norm + decoder on `rows` rows (an expectation, hence a double). Saved: the rows, the norm's mean and deviation,
// its output, and the gradient of the scores, which is made in forward.
Costs linear_head_costs(int64_t width, int64_t classes, double rows, Numbers numbers);
// Of a block over all positions and then what `reader` costs. The block is walked back after the reader, whose saved
// tensors are free by then; the gradient between them has the size of a message.
Costs costs_above_a_block(const Costs& reader, const TransformerShape& shape, int64_t samples, int64_t length);

}  // namespace interlock
