#pragma once
// Slices of a network that is a table of tokens and a chain of Transformer blocks, and what such networks say of
// themselves alike.

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "models/blocks/transformer.h"
#include "models/model.h"
#include "models/transformer_settings.h"

namespace interlock {

// What stands before block 0: tokens [samples, length] -> [samples, length, width].
class TokenEmbeddings : public torch::nn::Module {
 public:
  virtual at::Tensor forward(const at::Tensor& tokens, const ForwardContext& context) const = 0;
};

// The global name of a block.
using LayerPath = std::function<std::string(int64_t layer)>;

class TransformerBody : public Body {
 public:
  // Blocks that hold units [begin, end), with start values; `embeddings`, where there are any, are named `path`.
  TransformerBody(const TransformerSettings& settings, LayerPath layer_path, int64_t begin, int64_t end,
                  std::shared_ptr<TokenEmbeddings> embeddings, const std::string& path);

  int64_t segments() const override { return segments_before_units() + static_cast<int64_t>(units_.size()); }
  int64_t segments_before_units() const override { return embeddings_ ? 1 : 0; }
  at::Tensor forward_segment(int64_t segment, const at::Tensor& input, const ForwardContext& context) override;
  std::vector<at::Tensor> segment_parameters(int64_t segment) const override;
  void insert(const InsertionSite& site, std::shared_ptr<Insertion> insertion) override;

 private:
  struct UnitOfBlock {
    std::shared_ptr<TransformerBlock> block;  // which the slice may hold in part
    Part part;
  };
  const UnitOfBlock& unit(int64_t segment) const {
    return units_.at(static_cast<size_t>(segment - segments_before_units()));
  }

  LayerPath layer_path_;
  std::shared_ptr<TokenEmbeddings> embeddings_;  // on the first slice
  std::vector<UnitOfBlock> units_;
  std::map<int64_t, std::shared_ptr<TransformerBlock>> blocks_;  // by layer
};

// Of all blocks, in the order in which they compute.
std::vector<InsertionSite> transformer_network_sites(const TransformerSettings& settings, const LayerPath& layer_path);

}  // namespace interlock
