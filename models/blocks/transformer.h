#pragma once
// One Transformer block, or a half of it, and what they cost. A design says where its norms stand, and what its files
// call the parts.

#include <torch/nn/module.h>

#include <memory>

#include "models/blocks/dropout.h"
#include "models/blocks/layers.h"
#include "models/blocks/numbers.h"
#include "models/costs.h"
#include "models/model.h"

namespace interlock {

struct BlockDesign {
  bool pre_norm = false;   // x + half(norm(x)), else norm(x + half(x))
  bool causal = false;     // a token looks at those before it alone
  bool tanh_gelu = false;  // GELU in its tanh form
  // Paths below the block. `fused`: query, key and value as the rows of one layer; then those three are null.
  const char* fused = nullptr;
  const char *query, *key, *value, *attention_output, *attention_norm;
  const char *intermediate, *output, *output_norm;
  const char *attention, *feed_forward;  // the sites behind both halves
};

// RoBERTa's block as published (Hugging Face: Roberta), and with its norms before both halves (RobertaPreLayerNorm).
inline constexpr BlockDesign post_norm_block{.pre_norm = false,
                                             .query = "attention.self.query",
                                             .key = "attention.self.key",
                                             .value = "attention.self.value",
                                             .attention_output = "attention.output.dense",
                                             .attention_norm = "attention.output.LayerNorm",
                                             .intermediate = "intermediate.dense",
                                             .output = "output.dense",
                                             .output_norm = "output.LayerNorm",
                                             .attention = "attention.output",
                                             .feed_forward = "output"};
inline constexpr BlockDesign pre_norm_block = [] {
  BlockDesign design = post_norm_block;
  design.pre_norm = true;
  design.attention_norm = "attention.LayerNorm";
  design.output_norm = "intermediate.LayerNorm";
  return design;
}();

// GPT-2's (Hugging Face: GPT2Block).
inline constexpr BlockDesign gpt_block{.pre_norm = true,
                                       .causal = true,
                                       .tanh_gelu = true,
                                       .fused = "attn.c_attn",
                                       .query = nullptr,
                                       .key = nullptr,
                                       .value = nullptr,
                                       .attention_output = "attn.c_proj",
                                       .attention_norm = "ln_1",
                                       .intermediate = "mlp.c_fc",
                                       .output = "mlp.c_proj",
                                       .output_norm = "ln_2",
                                       .attention = "attn",
                                       .feed_forward = "mlp"};

struct TransformerShape {
  int64_t width = 64, heads = 4, feed_forward = 256;
  double dropout = 0.1, attention_dropout = 0.1;
  double norm_epsilon = 1e-5;
  Numbers numbers;
  const BlockDesign* design = &post_norm_block;
  // The deviation at the start of the two layers whose results join the residual. In a pre-norm network of L blocks
  // 2 L of them add up in one sum: 0.02 / sqrt(2 L) (Radford et al., 2019).
  double joining_deviation = 0.02;
};
double joining_deviation_of(const BlockDesign& design, int64_t layers);

// A block, or one of its halves: each ends with its residual sum (normed, in a post-norm design), so the same passes
// between halves as between blocks.
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
  std::shared_ptr<Linear> fused_, query_, key_, value_, attention_output_, intermediate_, output_;
  std::shared_ptr<LayerNorm> attention_norm_, output_norm_;
  Insertions after_attention_, after_feed_forward_, after_layer_;
};

// initialize() of a module that holds such blocks.
void initialize_blocks(torch::nn::Module& module, const TransformerShape& shape, uint64_t seed);

// The sites of a block named `path`, in the order in which they compute; `unit` and `layer` are left to the caller.
std::vector<InsertionSite> transformer_sites(const std::string& path, const TransformerShape& shape);
// Whether a site of transformer_sites is in the attention part.
bool is_in_attention(const InsertionSite& site, const std::string& path, const TransformerShape& shape);

// Multiplications and additions count one each. Saved for backward, per token: the block's input, query, key, value,
// attention's result and the inputs of both norms and of the feed-forward part (8 widths; pre-norm: the inputs and
// results of both norms take the place of the latter three), the feed-forward part before
// and after GELU, mean and deviation of both norms; with dropout two masks of one width (a byte per number); and the
// log-sum of every head's row of scores - or, when attention drops, the row itself.
Costs transformer_costs(const TransformerShape& shape, int64_t samples, int64_t length, Part part = Part::whole);

}  // namespace interlock
