// LoRA: a linear layer learns by a product of two narrow matrices that is added to what its frozen weight makes.
#include <algorithm>
#include <cmath>
#include <set>

#include "models/blocks/dropout.h"
#include "models/blocks/functions.h"
#include "models/blocks/layers.h"
#include "models/blocks/numbers.h"
#include "models/sizes.h"
#include "parallel/technique/measured.h"
#include "parallel/technique/technique.h"
#include "runtime/core/random.h"

namespace interlock {
namespace {

// Sites of a layer's draws above those of the network itself.
constexpr uint64_t first_dropout_site = 64;

// y + scale * B(A(dropout(x))); B begins at zero, so that training begins with the network as it was.
class LowRank final : public Insertion {
 public:
  struct Shape {
    InsertionSite site;
    int64_t rank = 0;
    double scale = 1, dropout = 0;
    Numbers numbers;
  };

  explicit LowRank(const Shape& shape) : shape_(shape) {
    const at::ScalarType type = shape.numbers.parameters;
    down_ = attach_new<Linear>(*this, "lora_A", shape.site.inputs, shape.rank, type, false);
    up_ = attach_new<Linear>(*this, "lora_B", shape.rank, shape.site.outputs, type, false);
  }

  at::Tensor after(const at::Tensor& x, const at::Tensor& y, const Norm&, const ForwardContext& context) override {
    const auto site = static_cast<Site>(first_dropout_site + static_cast<uint64_t>(shape_.site.place));
    const at::Tensor h = keyed_dropout(x, shape_.dropout, static_cast<uint64_t>(shape_.site.layer), site, context);
    return y + up_->forward(down_->forward(h, context), context) * shape_.scale;
  }

  // A as PEFT starts it: uniform within 1 / sqrt(inputs) (Kaiming's with a = sqrt(5)); B zero.
  void start(at::Tensor& value, const std::string& name, uint64_t seed) const override {
    if (name.ends_with("lora_B.weight")) {
      value.zero_();
      return;
    }
    const double bound = 1 / std::sqrt(static_cast<double>(shape_.site.inputs));
    const RandomKey key = random_key(seed, Purpose::initial_value, name);
    if (value.scalar_type() == at::kDouble) {
      fill_uniform(value.mutable_data_ptr<double>(), value.numel(), bound, key);
    } else {
      fill_uniform(value.mutable_data_ptr<float>(), value.numel(), bound, key);
    }
  }

  // Kept are the input with its mask where it is dropped (else the layer's own input is), and the narrow rows.
  Costs costs(int64_t rows) const override {
    const int64_t inputs = shape_.site.inputs, outputs = shape_.site.outputs, number = shape_.numbers.hidden_bytes();
    Costs costs;
    costs.forward_flops = 2.0 * static_cast<double>(rows) * static_cast<double>(shape_.rank * (inputs + outputs));
    costs.input_gradient_flops = costs.weight_gradient_flops = costs.forward_flops;
    costs.parameters = shape_.rank * (inputs + outputs);
    costs.product_copy_bytes = costs.parameters * shape_.numbers.copy_bytes();
    costs.linear_input_bytes = rows * (inputs + shape_.rank) * number;
    costs.activation_bytes = costs.linear_input_bytes + (shape_.dropout > 0 ? rows * inputs : 0);
    costs.recorded_bytes = rows * (outputs + shape_.rank) * number;
    costs.working_bytes = costs.kept_working_bytes = rows * (inputs + outputs) * number;
    costs.forward_working_bytes = rows * 2 * outputs * number;
    return costs;
  }

 private:
  Shape shape_;
  std::shared_ptr<Linear> down_, up_;
};

class Lora final : public Technique {
 public:
  explicit Lora(const Section& options)
      : options_(options),
        rank_(options.integer("rank", 8, 1, most_width)),
        alpha_(options.number("alpha", 16, 0)),
        targets_(options.texts("targets", {"query", "value"})),
        dropout_(options.number("dropout", 0.0, 0.0, 1.0)) {
    if (dropout_ == 1.0) options.refuse("dropout", "must be below 1: with 1 everything would be dropped");
    if (targets_.empty()) options.refuse("targets", "is empty; name linear layers, as [\"query\", \"value\"]");
  }

  std::string name() const override { return "lora"; }
  std::string summary() const override {
    return "trains low-rank updates of chosen linear layers; the weights themselves stay as they are";
  }
  std::string paper() const override { return "Hu et al.: LoRA: Low-Rank Adaptation of Large Language Models (2021)"; }

  void check(const Model& model) const override {
    std::set<std::string> known;
    std::set<std::string> unused(targets_.begin(), targets_.end());
    for (const InsertionSite& site : model.sites()) {
      if (site.kind != InsertionSite::Kind::linear) continue;
      known.insert(site.name.substr(site.name.find_last_of('.') + 1));
      for (const std::string& target : targets_)
        if (is_target(site.name, target)) unused.erase(target);
      for (const std::string& target : targets_)
        if (is_target(site.name, target) && rank_ > std::min(site.inputs, site.outputs))
          options_.refuse("rank", message("is ", rank_, ", but ", site.name, " is ", site.outputs, " by ", site.inputs,
                                          ": a rank is at most the smaller of the two"));
    }
    if (!unused.empty())
      options_.refuse("targets",
                      unknown_name("linear layer", *unused.begin(), {known.begin(), known.end()}) +
                          (options_.has("targets") ? "" : "; set it: its default is of models that have these"));
  }

  std::shared_ptr<Insertion> insertion(const InsertionSite& site, const NetworkFacts& network) const override {
    if (site.kind != InsertionSite::Kind::linear) return nullptr;
    if (std::ranges::none_of(targets_, [&](const std::string& target) { return is_target(site.name, target); }))
      return nullptr;
    return std::make_shared<LowRank>(LowRank::Shape{
        .site = site, .rank = rank_, .scale = scale(), .dropout = dropout_, .numbers = numbers_of(network.precision)});
  }

  bool chooses_what_trains() const override { return true; }
  // The updates and readouts.
  std::optional<bool> trains(const ParameterPlace& place) const override {
    if (!place.in_body || place.inserted) return std::nullopt;
    return false;
  }
  bool keeps_only_what_trains() const override { return true; }

  // The updates beside the weights that they are added to.
  bool measures() const override { return true; }
  std::vector<Measured> measure(const StageTensors& tensors) const override {
    std::vector<Measured> all;
    each_ending_with(tensors, ".lora_B.weight", [&](const std::string& site, const at::Tensor& up) {
      const at::Tensor update = squared_norm_of_product(up, tensors.values.at(site + ".lora_A.weight"));
      all.push_back({"update", site, update.mul(scale() * scale()), squared_norm(tensors.values.at(site + ".weight"))});
    });
    return all;
  }

 private:
  double scale() const { return alpha_ / static_cast<double>(rank_); }
  // "query", or more of the name's end: "attention.output.dense".
  static bool is_target(const std::string& site, const std::string& target) {
    return site == target || site.ends_with("." + target);
  }

  Section options_;
  int64_t rank_;
  double alpha_;
  std::vector<std::string> targets_;
  double dropout_;
};

const Registration<Technique, const Section&> registered("lora", [](const Section& options) {
  return std::make_unique<Lora>(options);
});

}  // namespace
}  // namespace interlock
