// The model "mlp": a chain of linear layers with ReLU for data sets of plain numbers. Small, for tests and a
// classification example. Owns its settings, slices and readout.
#include <ATen/ops/relu.h>

#include <cassert>

#include "models/blocks/dropout.h"
#include "models/blocks/heads.h"
#include "models/blocks/keyed.h"
#include "models/blocks/layers.h"
#include "models/model.h"
#include "models/sizes.h"

namespace interlock {
namespace {

// He et al., 2015: with ReLU, deviation sqrt(2 / inputs) keeps the size of signals over depth; 0.02 would fade them.
constexpr Initial rectified{.deviation = 0, .fan_in_gain = 2};

struct MlpSettings {
  int64_t layers = 4, width = 32, features = 1, classes = 2;
  double dropout = 0;
  uint64_t seed = 1;
  Numbers numbers;
};

MlpSettings read_mlp(const ModelSettings& given) {
  MlpSettings settings;
  settings.layers = given.model.integer("layers", 4, 1, most_layers);
  settings.width = given.model.integer("width", 32, 1, most_width);
  settings.dropout = given.model.number("dropout", 0, 0, 1);
  if (settings.dropout == 1.0) given.model.refuse("dropout", "must be below 1: with 1 everything would be dropped");
  if (given.features < 1 || given.classes < 2) {
    given.model.refuse("name", message("the model mlp needs a data set of numbers with classes; this one has ",
                                       given.features, " features and ", given.classes, " classes"));
  }
  settings.features = given.features;
  settings.classes = given.classes;
  settings.seed = given.seed;
  settings.numbers = numbers_of(given.precision);
  return settings;
}

class MlpBody : public Body {
 public:
  MlpBody(const MlpSettings& settings, int64_t begin, int64_t end) : settings_(settings), begin_(begin) {
    if (begin == 0) {
      input_ = attach_new<Linear>(*this, "mlp.input", settings.features, settings.width, settings.numbers.parameters);
    }
    for (int64_t i = begin; i < end; ++i) {
      const std::string path = "mlp.layer." + std::to_string(i);
      layers_.push_back(attach_new<Linear>(*this, path, settings.width, settings.width, settings.numbers.parameters));
    }
    initialize(*this, settings.seed, rectified);
  }

  // One per layer; the first holds the input layer too.
  int64_t segments() const override { return static_cast<int64_t>(layers_.size()); }

  at::Tensor forward_segment(int64_t segment, const at::Tensor& input, const ForwardContext& context) override {
    const bool first = segment == 0 && input_;
    const at::Tensor hidden = first ? at::relu(input_->forward(input.to(settings_.numbers.hidden), context)) : input;
    const at::Tensor out = at::relu(layers_.at(static_cast<size_t>(segment))->forward(hidden, context));
    return keyed_dropout(out, settings_.dropout, static_cast<uint64_t>(begin_ + segment), Site::feed_forward, context);
  }

  std::vector<at::Tensor> segment_parameters(int64_t segment) const override {
    std::vector<at::Tensor> all;
    if (segment == 0 && input_) all = input_->parameters();
    for (const at::Tensor& own : layers_.at(static_cast<size_t>(segment))->parameters()) all.push_back(own);
    return all;
  }

  void insert(const InsertionSite& site, std::shared_ptr<Insertion> insertion) override {
    attach_insertion(*this, site, *insertion);
    layers_.at(static_cast<size_t>(site.unit - begin_))->insert(std::move(insertion));
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
    decoder_ = attach_new<Linear>(*this, "mlp.readout", settings.width, settings.classes, settings.numbers.parameters);
    initialize(*this, settings.seed, rectified);
  }

  at::Tensor classify(const at::Tensor& rows, const ForwardContext& context) const override {
    return decoder_->forward(rows, context);
  }

 private:
  std::shared_ptr<Linear> decoder_;
};

// One layer heads.<units_below>.layer, which is trained, and then a copy of the readout, which is not.
class MlpSharedHead : public RowHead {
 public:
  MlpSharedHead(const MlpSettings& settings, int64_t units_below) {
    const std::string path = "heads." + std::to_string(units_below) + ".layer";
    layer_ = attach_new<Linear>(*this, path, settings.width, settings.width, settings.numbers.parameters);
    initialize(*this, settings.seed, rectified);
    copy_ = std::make_shared<MlpReadout>(settings);
    for (at::Tensor& values : copy_->parameters()) values.set_requires_grad(false);
  }

  std::vector<std::pair<std::string, at::Tensor>> readout_copies() override {
    std::vector<std::pair<std::string, at::Tensor>> copies;
    for (const auto& entry : copy_->named_parameters()) copies.emplace_back(entry.key(), entry.value());
    return copies;
  }

 protected:
  at::Tensor classify(const at::Tensor& rows, const ForwardContext& context) const override {
    return copy_->classify(at::relu(layer_->forward(rows, context)), context);
  }

 private:
  std::shared_ptr<Linear> layer_;
  std::shared_ptr<MlpReadout> copy_;  // not registered: its tensors are no parameters of this head
};

// Of one linear layer on `samples` rows; saved is its input, and a ReLU keeps its result, which is the next layer's
// input.
Costs layer_costs(int64_t inputs, int64_t outputs, int64_t samples, const Numbers& numbers) {
  Costs costs;
  costs.forward_flops = 2.0 * static_cast<double>(samples * inputs * outputs);
  costs.input_gradient_flops = costs.weight_gradient_flops = costs.forward_flops;
  costs.parameters = inputs * outputs + outputs;
  costs.product_copy_bytes = costs.parameters * numbers.copy_bytes();
  costs.activation_bytes = costs.linear_input_bytes = samples * inputs * numbers.hidden_bytes();
  costs.recorded_bytes = samples * outputs * numbers.hidden_bytes();
  // Of a pass back: the gradients of its result and of its input. Of a forward pass: the result before and after ReLU.
  costs.working_bytes = costs.kept_working_bytes = samples * (inputs + outputs) * numbers.hidden_bytes();
  costs.forward_working_bytes = 2 * samples * outputs * numbers.hidden_bytes();
  return costs;
}

class Mlp : public Model {
 public:
  explicit Mlp(const ModelSettings& given) : settings_(read_mlp(given)) {}

  int64_t units() const override { return settings_.layers; }
  // The first reads the inputs, which have another width.
  std::optional<int64_t> layer_of(int64_t unit) const override { return unit > 0 ? std::optional(unit) : std::nullopt; }

  std::shared_ptr<Body> body(int64_t begin, int64_t end) const override {
    assert(0 <= begin && begin < end && end <= units());
    return std::make_shared<MlpBody>(settings_, begin, end);
  }

  std::shared_ptr<Head> readout() const override { return std::make_shared<MlpReadout>(settings_); }

  std::shared_ptr<Head> head(const std::string& kind, int64_t units_below) const override {
    check_kind(kind);
    if (kind == "shared_readout") return std::make_shared<MlpSharedHead>(settings_, units_below);
    auto made = std::make_shared<LinearHead>("heads." + std::to_string(units_below), settings_.width, settings_.classes,
                                             settings_.numbers.parameters);
    initialize(*made, settings_.seed, rectified);
    return made;
  }

  std::vector<std::string> head_kinds() const override { return {"linear", "shared_readout"}; }

  std::vector<InsertionSite> sites() const override {
    std::vector<InsertionSite> all;
    for (int64_t i = 0; i < units(); ++i)
      all.push_back({.name = "mlp.layer." + std::to_string(i),
                     .unit = i,
                     .layer = i,
                     .inputs = settings_.width,
                     .outputs = settings_.width});
    return all;
  }

  std::vector<Costs> unit_costs(int64_t samples) const override {
    Costs block = layer_costs(settings_.width, settings_.width, samples, settings_.numbers);
    // With dropout ReLU's result is not the next layer's input but kept beside it, and so is the mask, in bytes.
    if (settings_.dropout > 0)
      block.activation_bytes += samples * settings_.width * (settings_.numbers.hidden_bytes() + 1);
    std::vector<Costs> costs(static_cast<size_t>(units()), block);
    costs[0] += layer_costs(settings_.features, settings_.width, samples, settings_.numbers);
    return costs;
  }

  Costs readout_costs(int64_t samples) const override {
    Costs costs = layer_costs(settings_.width, settings_.classes, samples, settings_.numbers);
    costs.activation_bytes += samples * settings_.classes * settings_.numbers.hidden_bytes();
    return costs;
  }

  Costs head_costs(const std::string& kind, int64_t samples) const override {
    check_kind(kind);
    if (kind == "shared_readout") {
      Costs copy = readout_costs(samples);
      copy.copied = copy.parameters;
      copy.parameters = copy.product_copy_bytes = 0;
      copy.weight_gradient_flops = 0;
      return copy += layer_costs(settings_.width, settings_.width, samples, settings_.numbers);
    }
    return linear_head_costs(settings_.width, settings_.classes, static_cast<double>(samples), settings_.numbers);
  }

  at::ScalarType input_type() const override { return at::kFloat; }
  int64_t classes() const override { return settings_.classes; }
  Boundary boundary(int64_t) const override { return {{settings_.width}, settings_.numbers.hidden}; }

 private:
  void check_kind(const std::string& kind) const {
    if (kind != "linear" && kind != "shared_readout")
      throw Error(ExitCode::config, unknown_name("head", kind, head_kinds()));
  }

  MlpSettings settings_;
};

const Registration<Model, const ModelSettings&> registered("mlp", [](const ModelSettings& settings) {
  return std::make_unique<Mlp>(settings);
});

}  // namespace
}  // namespace interlock
