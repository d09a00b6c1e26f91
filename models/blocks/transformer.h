#pragma once
// One post-norm Transformer block exactly as in RoBERTa, or a half of it, and what they cost.

#include <torch/nn/module.h>

#include <memory>

#include "models/blocks/dropout.h"
#include "models/blocks/layers.h"
#include "models/blocks/numbers.h"
#include "models/costs.h"
#include "models/model.h"

namespace interlock {

struct TransformerShape {
  int64_t width = 64, heads = 4, feed_forward = 256;
  double dropout = 0.1, attention_dropout = 0.1;
  Numbers numbers;
};

// A block, or one of its halves: each ends with its residual norm, so the same passes between halves as between blocks.
enum class Part { whole, attention, feed_forward };

class TransformerBlock : public torch::nn::Module {
 public:
  // Holds the parameters of a part, under the names they have in the whole. `layer` keys the dropout: see
  // blocks/keyed.h.
  TransformerBlock(const TransformerShape& shape, uint64_t layer, Part held = Part::whole);
  // x is [samples, length, width], and so is the result. `part` is held.
  at::Tensor forward(const at::Tensor& x, const ForwardContext& context, Part part = Part::whole) const;
  std::vector<at::Tensor> parameters_of(Part part) const;
  // `below`: the name of the site below the block, "attention.self.query"; "" for the block itself. It is held.
  void insert(const std::string& below, std::shared_ptr<Insertion> insertion);

 private:
  using Insertions = std::vector<std::shared_ptr<Insertion>>;
  at::Tensor attend(const at::Tensor& x, const ForwardContext& context) const;
  at::Tensor attention_half(const at::Tensor& x, const ForwardContext& context) const;
  at::Tensor feed_forward_half(const at::Tensor& x, const ForwardContext& context) const;
  at::Tensor join(const LayerNorm& norm, const Insertions& inserted, const at::Tensor& x, const at::Tensor& y,
                  Site site, const ForwardContext& context) const;

  TransformerShape shape_;
  uint64_t layer_;
  std::shared_ptr<Linear> query_, key_, value_, attention_output_, intermediate_, output_;
  std::shared_ptr<LayerNorm> attention_norm_, output_norm_;
  Insertions after_attention_, after_feed_forward_, after_layer_;
};

// The sites of a block named `path`, in the order in which they compute; `unit` and `layer` are left to the caller.
std::vector<InsertionSite> transformer_sites(const std::string& path, const TransformerShape& shape);
// Whether a site of transformer_sites is in the attention part.
bool is_in_attention(const InsertionSite& site, const std::string& path);

// Multiplications and additions count one each. Saved for backward, per token: the block's input, query, key, value,
// attention's result and the inputs of both norms and of the feed-forward part (8 widths), the feed-forward part before
// and after GELU, mean and deviation of both norms; with dropout two masks of one width (a byte per number); and the
// log-sum of every head's row of scores - or, when attention drops, the row itself.
Costs transformer_costs(const TransformerShape& shape, int64_t samples, int64_t length, Part part = Part::whole);

}  // namespace interlock
