// The model "roberta": the encoder of Liu et al., 2019 (learned positions with offset 2, post-norm blocks, exact GELU,
// masked language modelling) with the parameter names of Hugging Face's RobertaForMaskedLM. Owns its settings, slices
// and readout.
#include <ATen/ops/gelu.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cassert>

#include "models/blocks/embeddings.h"
#include "models/blocks/functions.h"
#include "models/blocks/heads.h"
#include "models/blocks/keyed.h"
#include "models/blocks/layers.h"
#include "models/blocks/transformer.h"
#include "models/model.h"

namespace interlock {
namespace {

struct RobertaSettings {
  TransformerShape block;
  int64_t layers = 8, vocabulary = 261, max_length = 64;
  int64_t length = 64;         // tokens per sample, and
  double predicted_share = 1;  // how many of them are predicted: for costs
  uint64_t seed = 1;
};

double read_rate(const Section& model, const std::string& key, double fallback) {
  const double rate = model.number(key, fallback, 0.0, 1.0);
  if (rate == 1.0) model.refuse(key, "must be below 1: with 1 everything would be dropped");
  return rate;
}

void check_against_data(const ModelSettings& given, const RobertaSettings& settings) {
  if (given.classes > 0 && settings.vocabulary < given.classes) {
    given.model.refuse("vocabulary",
                       message("vocabulary too small for the data: the model has ", settings.vocabulary,
                               " entries, the data set ", given.classes, "; set it to ", given.classes, " or more"));
  }
  if (given.sample_length > settings.max_length) {
    given.model.refuse("max_length", message("is ", settings.max_length, ", but samples have up to ",
                                             given.sample_length, " tokens; raise it or shorten data.sequence_length"));
  }
}

RobertaSettings read_roberta(const ModelSettings& given) {
  const Section& model = given.model;
  RobertaSettings settings;
  settings.layers = model.integer("layers", 8, 1);
  settings.block.width = model.integer("width", 64, 1);
  settings.block.heads = model.integer("heads", 4, 1);
  settings.block.feed_forward = model.integer("feed_forward", 256, 1);
  settings.vocabulary = model.integer("vocabulary", 261, 2);  // token 1 is padding
  settings.max_length = model.integer("max_length", 64, 1);
  settings.block.dropout = read_rate(model, "dropout", 0.1);
  settings.block.attention_dropout = read_rate(model, "attention_dropout", settings.block.dropout);
  settings.block.type = given.float64 ? at::kDouble : at::kFloat;
  settings.length = given.sample_length > 0 ? given.sample_length : settings.max_length;
  settings.predicted_share = given.predicted_share;
  settings.seed = given.seed;
  if (model.flag("tie_embeddings", false)) model.refuse("tie_embeddings", "tied embeddings are not available yet");
  if (settings.block.width % settings.block.heads != 0) {
    model.refuse("heads", message("the width ", settings.block.width, " cannot be divided by ", settings.block.heads,
                                  " heads; choose a number that divides it"));
  }
  check_against_data(given, settings);
  return settings;
}

class RobertaBody : public Body {
 public:
  RobertaBody(const RobertaSettings& settings, int64_t begin, int64_t end) {
    const TransformerShape& shape = settings.block;
    if (begin == 0) {
      embeddings_ = attach_new<RobertaEmbeddings>(*this, "roberta.embeddings", settings.vocabulary, settings.max_length,
                                                  shape.width, shape.dropout, shape.type);
    }
    for (int64_t i = begin; i < end; ++i) {
      const std::string path = "roberta.encoder.layer." + std::to_string(i);
      blocks_.push_back(attach_new<TransformerBlock>(*this, path, shape, static_cast<uint64_t>(i)));
    }
    initialize(*this, settings.seed);
    if (embeddings_) embeddings_->clear_padding_rows();
  }

  at::Tensor forward(const at::Tensor& input, const ForwardContext& context) override {
    at::Tensor hidden = embeddings_ ? embeddings_->forward(input, context) : input;
    const at::Tensor mask = padding_mask(context, hidden);
    for (const auto& block : blocks_) hidden = block->forward(hidden, mask, context);
    return hidden;
  }

 private:
  std::shared_ptr<RobertaEmbeddings> embeddings_;  // on the first slice
  std::vector<std::shared_ptr<TransformerBlock>> blocks_;
};

// dense - GELU - norm - decoder. The decoder's bias belongs to lm_head itself, as one tensor.
class RobertaReadout : public RowHead {
 public:
  explicit RobertaReadout(const RobertaSettings& settings) {
    const int64_t width = settings.block.width;
    const at::ScalarType type = settings.block.type;
    dense_ = attach_new<Linear>(*this, "lm_head.dense", width, width, type);
    norm_ = attach_new<LayerNorm>(*this, "lm_head.layer_norm", width, type);
    decoder_ = attach_new<Linear>(*this, "lm_head.decoder", width, settings.vocabulary, type, false);
    bias_ = named_children()["lm_head"]->register_parameter("bias", at::zeros({settings.vocabulary}, type));
    initialize(*this, settings.seed);
  }

 protected:
  at::Tensor classify(const at::Tensor& rows) const override {
    return linear(norm_->forward(at::gelu(dense_->forward(rows))), decoder_->weight, bias_);
  }

 private:
  std::shared_ptr<Linear> dense_, decoder_;
  std::shared_ptr<LayerNorm> norm_;
  at::Tensor bias_;
};

class Roberta : public Model {
 public:
  explicit Roberta(const ModelSettings& given) : settings_(read_roberta(given)) {}

  int64_t blocks() const override { return settings_.layers; }

  std::shared_ptr<Body> body(int64_t begin, int64_t end) const override {
    assert(0 <= begin && begin < end && end <= blocks());
    return std::make_shared<RobertaBody>(settings_, begin, end);
  }

  std::shared_ptr<Head> readout() const override { return std::make_shared<RobertaReadout>(settings_); }

  std::shared_ptr<Head> head(const std::string& kind, int64_t blocks_below) const override {
    check_kind(kind);
    const TransformerShape& shape = settings_.block;
    const std::string path = "heads." + std::to_string(blocks_below);
    std::shared_ptr<Head> made;
    if (kind == "block") {
      made = std::make_shared<BlockHead>(path, shape, head_layer(blocks_below), settings_.vocabulary);
    } else {
      made = std::make_shared<LinearHead>(path, shape.width, settings_.vocabulary, shape.type);
    }
    initialize(*made, settings_.seed);
    return made;
  }

  std::vector<std::string> head_kinds() const override { return {"linear", "block"}; }

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
    std::vector<Costs> costs(static_cast<size_t>(blocks()),
                             transformer_costs(settings_.block, samples, settings_.length));
    costs[0] += embedding_costs(samples);
    return costs;
  }

  Costs readout_costs(int64_t samples) const override {
    const double rows = predicted_rows(samples), width = static_cast<double>(settings_.block.width);
    Costs costs = linear_head_costs(settings_.block.width, settings_.vocabulary, rows, settings_.block.type);
    Costs dense;  // and GELU: saves its input rows and what GELU takes
    dense.forward_flops = dense.input_gradient_flops = dense.weight_gradient_flops = 2 * rows * width * width;
    dense.parameters = settings_.block.width * (settings_.block.width + 1);
    dense.activation_bytes = static_cast<int64_t>(rows * 2 * width * element_bytes());
    return costs += dense;
  }

  Costs head_costs(const std::string& kind, int64_t samples) const override {
    check_kind(kind);
    Costs costs =
        linear_head_costs(settings_.block.width, settings_.vocabulary, predicted_rows(samples), settings_.block.type);
    if (kind == "block") costs += transformer_costs(settings_.block, samples, settings_.length);
    return costs;
  }

  // Hugging Face keeps the decoder's bias under both names when it is not tied.
  std::vector<std::pair<std::string, std::string>> aliases() const override {
    return {{"lm_head.decoder.bias", "lm_head.bias"}};
  }

  std::vector<int64_t> boundary_shape() const override { return {settings_.length, settings_.block.width}; }

 private:
  void check_kind(const std::string& kind) const {
    const auto kinds = head_kinds();
    if (std::find(kinds.begin(), kinds.end(), kind) == kinds.end()) {
      throw Error(ExitCode::config, unknown_name("head", kind, kinds));
    }
  }

  double element_bytes() const { return static_cast<double>(c10::elementSize(settings_.block.type)); }

  double predicted_rows(int64_t samples) const {
    return settings_.predicted_share * static_cast<double>(samples * settings_.length);
  }

  // Look-ups cost no product; saved are the norm's input, mean and deviation, and a dropout mask.
  Costs embedding_costs(int64_t samples) const {
    const int64_t width = settings_.block.width, masks = settings_.block.dropout > 0 ? width : 0;
    Costs costs;
    costs.parameters = (settings_.vocabulary + settings_.max_length + 2 + 1 + 2) * width;
    costs.activation_bytes = samples * settings_.length * (width + 2 + masks) * static_cast<int64_t>(element_bytes());
    return costs;
  }

  RobertaSettings settings_;
};

const Registration<Model, const ModelSettings&> registered("roberta", [](const ModelSettings& settings) {
  return std::make_unique<Roberta>(settings);
});

}  // namespace
}  // namespace interlock
