// The model "roberta": the encoder of Liu et al., 2019 (learned positions with offset 2, post-norm blocks, exact GELU,
// masked language modelling) with the parameter names of Hugging Face's RobertaForMaskedLM. Owns its slices and what
// the model says about itself.
#include <algorithm>
#include <cassert>

#include "models/blocks/embeddings.h"
#include "models/blocks/heads.h"
#include "models/blocks/keyed.h"
#include "models/blocks/transformer.h"
#include "models/model.h"
#include "models/roberta_costs.h"
#include "models/roberta_readout.h"
#include "models/roberta_settings.h"

namespace interlock {
namespace {

class RobertaBody : public Body {
 public:
  RobertaBody(const RobertaSettings& settings, int64_t begin, int64_t end) {
    const TransformerShape& shape = settings.block;
    if (begin == 0) {
      embeddings_ = attach_new<RobertaEmbeddings>(*this, "roberta.embeddings", settings.vocabulary, settings.max_length,
                                                  shape.width, shape.dropout, shape.numbers);
    }
    for (int64_t i = begin; i < end; ++i) {
      const std::string path = "roberta.encoder.layer." + std::to_string(i);
      blocks_.push_back(attach_new<TransformerBlock>(*this, path, shape, static_cast<uint64_t>(i)));
    }
    initialize(*this, settings.seed);
    if (embeddings_) embeddings_->clear_padding_rows();
  }

  int64_t segments() const override { return before_blocks() + static_cast<int64_t>(blocks_.size()); }

  at::Tensor forward_segment(int64_t segment, const at::Tensor& input, const ForwardContext& context) override {
    if (segment < before_blocks()) return embeddings_->forward(input, context);
    return block(segment).forward(input, context);
  }

  std::vector<at::Tensor> segment_parameters(int64_t segment) const override {
    return segment < before_blocks() ? embeddings_->parameters() : block(segment).parameters();
  }

 private:
  int64_t before_blocks() const { return embeddings_ ? 1 : 0; }
  TransformerBlock& block(int64_t segment) const { return *blocks_.at(static_cast<size_t>(segment - before_blocks())); }

  std::shared_ptr<RobertaEmbeddings> embeddings_;  // on the first slice
  std::vector<std::shared_ptr<TransformerBlock>> blocks_;
};

class Roberta : public Model {
 public:
  explicit Roberta(const ModelSettings& given) : settings_(RobertaSettings::from(given)) {}

  int64_t blocks() const override { return settings_.layers; }

  std::shared_ptr<Body> body(int64_t begin, int64_t end) const override {
    assert(0 <= begin && begin < end && end <= blocks());
    return std::make_shared<RobertaBody>(settings_, begin, end);
  }

  std::shared_ptr<Head> readout() const override { return std::make_shared<RobertaReadout>(settings_); }

  std::shared_ptr<Head> head(const std::string& kind, int64_t blocks_below) const override {
    check_kind(kind);
    const TransformerShape& shape = settings_.block;
    if (kind == "shared_readout") return std::make_shared<SharedReadoutHead>(settings_, blocks_below);
    const std::string path = "heads." + std::to_string(blocks_below);
    std::shared_ptr<Head> made;
    if (kind == "block") {
      made = std::make_shared<BlockHead>(path, shape, head_layer(blocks_below), settings_.vocabulary);
    } else {
      made = std::make_shared<LinearHead>(path, shape.width, settings_.vocabulary, shape.numbers.parameters);
    }
    initialize(*made, settings_.seed);
    return made;
  }

  std::vector<std::string> head_kinds() const override { return {"linear", "block", "shared_readout"}; }

  std::vector<std::string> sites() const override {
    std::vector<std::string> all;
    for (int64_t i = 0; i < blocks(); ++i) {
      const std::string block = "roberta.encoder.layer." + std::to_string(i);
      all.push_back(block);
      for (const std::string& name : transformer_linear_names()) all.push_back(block + "." + name);
    }
    return all;
  }

  std::vector<Costs> block_costs(int64_t samples) const override {
    std::vector<Costs> costs(static_cast<size_t>(blocks()), roberta_block_costs(settings_, samples));
    costs[0] += roberta_embedding_costs(settings_, samples);
    return costs;
  }

  Costs readout_costs(int64_t samples) const override { return roberta_readout_costs(settings_, samples); }

  Costs head_costs(const std::string& kind, int64_t samples) const override {
    check_kind(kind);
    return roberta_head_costs(settings_, kind, samples);
  }

  // Hugging Face keeps the decoder's bias under both names when the decoder is not tied, and neither of the decoder's
  // tensors when it is.
  std::vector<std::pair<std::string, std::string>> aliases() const override {
    if (settings_.tied) return {};
    return {{"lm_head.decoder.bias", "lm_head.bias"}};
  }

  std::optional<Tie> tie() const override {
    if (!settings_.tied) return std::nullopt;
    return Tie{word_table, decoder_weight, settings_.vocabulary * settings_.block.width};
  }

  at::ScalarType input_type() const override { return at::kLong; }
  int64_t classes() const override { return settings_.vocabulary; }
  int64_t max_length() const override { return settings_.max_length; }
  Boundary boundary(int64_t) const override {
    return {{settings_.length, settings_.block.width}, settings_.block.numbers.hidden};
  }

 private:
  void check_kind(const std::string& kind) const {
    const auto kinds = head_kinds();
    if (std::find(kinds.begin(), kinds.end(), kind) == kinds.end()) {
      throw Error(ExitCode::config, unknown_name("head", kind, kinds));
    }
  }

  RobertaSettings settings_;
};

const Registration<Model, const ModelSettings&> registered("roberta", [](const ModelSettings& settings) {
  return std::make_unique<Roberta>(settings);
});

}  // namespace
}  // namespace interlock
