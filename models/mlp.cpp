// The model "mlp": a chain of linear layers with ReLU for data sets of plain numbers. Small, for tests and a
// classification example. Owns its settings, slices and readout.
#include <ATen/ops/relu.h>

#include <cassert>

#include "models/blocks/heads.h"
#include "models/blocks/keyed.h"
#include "models/blocks/layers.h"
#include "models/model.h"

namespace interlock {
namespace {

// He et al., 2015: with ReLU, deviation sqrt(2 / inputs) keeps the size of signals over depth; 0.02 would fade them.
constexpr Initial rectified{.deviation = 0, .fan_in_gain = 2};

struct MlpSettings {
  int64_t layers = 4, width = 32, features = 1, classes = 2;
  double dropout = 0;
  uint64_t seed = 1;
  at::ScalarType type = at::kFloat;
};

MlpSettings read_mlp(const ModelSettings& given) {
  MlpSettings settings;
  settings.layers = given.model.integer("layers", 4, 1);
  settings.width = given.model.integer("width", 32, 1);
  settings.dropout = given.model.number("dropout", 0, 0, 1);
  if (settings.dropout == 1.0) given.model.refuse("dropout", "must be below 1: with 1 everything would be dropped");
  if (given.features < 1 || given.classes < 2) {
    given.model.refuse("name", message("the model mlp needs a data set of numbers with classes; this one has ",
                                       given.features, " features and ", given.classes, " classes"));
  }
  settings.features = given.features;
  settings.classes = given.classes;
  settings.seed = given.seed;
  settings.type = given.float64 ? at::kDouble : at::kFloat;
  return settings;
}

class MlpBody : public Body {
 public:
  MlpBody(const MlpSettings& settings, int64_t begin, int64_t end) : settings_(settings), begin_(begin) {
    if (begin == 0) {
      input_ = attach_new<Linear>(*this, "mlp.input", settings.features, settings.width, settings.type);
    }
    for (int64_t i = begin; i < end; ++i) {
      const std::string path = "mlp.layer." + std::to_string(i);
      layers_.push_back(attach_new<Linear>(*this, path, settings.width, settings.width, settings.type));
    }
    initialize(*this, settings.seed, rectified);
  }

  at::Tensor forward(const at::Tensor& input, const ForwardContext& context) override {
    at::Tensor hidden = input_ ? at::relu(input_->forward(input.to(settings_.type))) : input;
    auto layer = static_cast<uint64_t>(begin_);
    for (const auto& linear : layers_) {
      hidden =
          keyed_dropout(at::relu(linear->forward(hidden)), settings_.dropout, layer++, Site::feed_forward, context);
    }
    return hidden;
  }

 private:
  MlpSettings settings_;
  int64_t begin_;
  std::shared_ptr<Linear> input_;  // on the first slice
  std::vector<std::shared_ptr<Linear>> layers_;
};

class MlpReadout : public RowHead {
 public:
  explicit MlpReadout(const MlpSettings& settings) {
    decoder_ = attach_new<Linear>(*this, "mlp.readout", settings.width, settings.classes, settings.type);
    initialize(*this, settings.seed, rectified);
  }

 protected:
  at::Tensor classify(const at::Tensor& rows) const override { return decoder_->forward(rows); }

 private:
  std::shared_ptr<Linear> decoder_;
};

// Of one linear layer on `samples` rows; saved is its input, and a ReLU keeps its result, which is the next layer's
// input.
Costs layer_costs(int64_t inputs, int64_t outputs, int64_t samples, at::ScalarType type) {
  Costs costs;
  costs.forward_flops = 2.0 * static_cast<double>(samples * inputs * outputs);
  costs.input_gradient_flops = costs.weight_gradient_flops = costs.forward_flops;
  costs.parameters = inputs * outputs + outputs;
  costs.activation_bytes = samples * inputs * static_cast<int64_t>(c10::elementSize(type));
  return costs;
}

class Mlp : public Model {
 public:
  explicit Mlp(const ModelSettings& given) : settings_(read_mlp(given)) {}

  int64_t blocks() const override { return settings_.layers; }

  std::shared_ptr<Body> body(int64_t begin, int64_t end) const override {
    assert(0 <= begin && begin < end && end <= blocks());
    return std::make_shared<MlpBody>(settings_, begin, end);
  }

  std::shared_ptr<Head> readout() const override { return std::make_shared<MlpReadout>(settings_); }

  std::shared_ptr<Head> head(const std::string& kind, int64_t blocks_below) const override {
    check_kind(kind);
    auto made = std::make_shared<LinearHead>("heads." + std::to_string(blocks_below), settings_.width,
                                             settings_.classes, settings_.type);
    initialize(*made, settings_.seed, rectified);
    return made;
  }

  std::vector<std::string> head_kinds() const override { return {"linear"}; }

  std::vector<std::string> sites() const override {
    std::vector<std::string> all;
    for (int64_t i = 0; i < blocks(); ++i) all.push_back("mlp.layer." + std::to_string(i));
    return all;
  }

  std::vector<Costs> block_costs(int64_t samples) const override {
    Costs block = layer_costs(settings_.width, settings_.width, samples, settings_.type);
    // With dropout ReLU's result is not the next layer's input but kept beside it, and so is the mask.
    if (settings_.dropout > 0) block.activation_bytes *= 3;
    std::vector<Costs> costs(static_cast<size_t>(blocks()), block);
    costs[0] += layer_costs(settings_.features, settings_.width, samples, settings_.type);
    return costs;
  }

  Costs readout_costs(int64_t samples) const override {
    Costs costs = layer_costs(settings_.width, settings_.classes, samples, settings_.type);
    costs.activation_bytes += samples * settings_.classes * static_cast<int64_t>(c10::elementSize(settings_.type));
    return costs;
  }

  Costs head_costs(const std::string& kind, int64_t samples) const override {
    check_kind(kind);
    return linear_head_costs(settings_.width, settings_.classes, static_cast<double>(samples), settings_.type);
  }

  std::vector<int64_t> boundary_shape() const override { return {settings_.width}; }

 private:
  void check_kind(const std::string& kind) const {
    if (kind != "linear") throw Error(ExitCode::config, unknown_name("head", kind, head_kinds()));
  }

  MlpSettings settings_;
};

const Registration<Model, const ModelSettings&> registered("mlp", [](const ModelSettings& settings) {
  return std::make_unique<Mlp>(settings);
});

}  // namespace
}  // namespace interlock
