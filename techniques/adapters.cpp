// Adapters: small bottlenecks inside a network whose other weights stay as they are. Two per layer as Houlsby et al.
// put them, or one as Pfeiffer et al. do; with names as AdapterHub's library has them.
#include <ATen/ops/gelu.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/silu.h>

#include <algorithm>
#include <set>

#include "models/blocks/layers.h"
#include "models/blocks/numbers.h"
#include "models/sizes.h"
#include "parallel/technique/measured.h"
#include "parallel/technique/technique.h"
#include "runtime/core/random.h"

namespace interlock {
namespace {

using Activation = at::Tensor (*)(const at::Tensor&);

Activation activation_of(const std::string& name) {
  if (name == "relu") return [](const at::Tensor& x) { return at::relu(x); };
  if (name == "swish") return [](const at::Tensor& x) { return at::silu(x); };
  return [](const at::Tensor& x) { return at::gelu(x); };
}

// y + up(act(down(h))): h is y, or what y would have been after its residual and norm.
class Bottleneck final : public Insertion {
 public:
  struct Shape {
    std::string name;  // of the adapter, within AdapterHub's names
    int64_t width = 0, size = 0;
    bool of_the_norm = false;
    double deviation = 0;
    Activation activation = nullptr;
    Numbers numbers;
  };

  explicit Bottleneck(const Shape& shape) : shape_(shape) {
    const std::string path = "adapters." + shape.name;
    down_ = attach_new<Linear>(*this, path + ".adapter_down.0", shape.width, shape.size, shape.numbers.parameters);
    up_ = attach_new<Linear>(*this, path + ".adapter_up", shape.size, shape.width, shape.numbers.parameters);
  }

  at::Tensor after(const at::Tensor& x, const at::Tensor& y, const Norm& norm, const ForwardContext& context) override {
    const at::Tensor h = shape_.of_the_norm ? norm(x + y) : y;
    return y + up_->forward(shape_.activation(down_->forward(h, context)), context);
  }

  void start(at::Tensor& value, const std::string& name, uint64_t seed) const override {
    if (value.dim() == 1) {
      value.zero_();
      return;
    }
    const RandomKey key = random_key(seed, Purpose::initial_value, name);
    if (value.scalar_type() == at::kDouble) {
      fill_truncated_normal(value.mutable_data_ptr<double>(), value.numel(), shape_.deviation, key);
    } else {
      fill_truncated_normal(value.mutable_data_ptr<float>(), value.numel(), shape_.deviation, key);
    }
  }

  // Two products; kept are their inputs, the bottleneck before its activation, and the sum's parts.
  Costs costs(int64_t rows) const override {
    const int64_t in_products = 2 * shape_.width * shape_.size + shape_.size + shape_.width;
    const int64_t row = rows * shape_.width * shape_.numbers.hidden_bytes(),
                  narrow_row = rows * shape_.size * shape_.numbers.hidden_bytes();
    Costs costs;
    costs.forward_flops = 4.0 * static_cast<double>(rows) * static_cast<double>(shape_.width * shape_.size);
    costs.input_gradient_flops = costs.weight_gradient_flops = costs.forward_flops;
    costs.parameters = in_products;
    costs.product_copy_bytes = in_products * shape_.numbers.copy_bytes();
    costs.activation_bytes = (shape_.of_the_norm ? 3 : 1) * row + 2 * narrow_row;
    costs.linear_input_bytes = row + narrow_row;
    costs.recorded_bytes = row + narrow_row;
    costs.working_bytes = costs.kept_working_bytes = 2 * row + narrow_row;
    costs.forward_working_bytes = 3 * row;
    return costs;
  }

 private:
  Shape shape_;
  std::shared_ptr<Linear> down_, up_;
};

class Adapters final : public Technique {
 public:
  explicit Adapters(const Section& options)
      : options_(options),
        pfeiffer_(options.one_of("variant", "houlsby", {"houlsby", "pfeiffer"}) == "pfeiffer"),
        size_(options.integer("size", 64, 1, most_width)),
        layers_(options.integers("layers", {})),
        activation_(options.one_of("activation", pfeiffer_ ? "relu" : "gelu", {"gelu", "relu", "swish"})),
        deviation_(options.number("deviation", 1e-3, 0)),
        trains_norms_(options.flag("train_norms", true)),
        adapter_name_(options.text("adapter_name", "interlock")) {
    if (adapter_name_.empty() || adapter_name_.find_first_of(". ") != std::string::npos)
      options.refuse("adapter_name", "is a part of the names of tensors: one word without a dot");
  }

  std::string name() const override { return "adapters"; }
  std::string summary() const override {
    return "trains small bottlenecks inside every layer; the other weights stay as they are";
  }
  std::string paper() const override {
    return "Houlsby et al.: Parameter-Efficient Transfer Learning for NLP (ICML 2019); Pfeiffer et al.: "
           "AdapterFusion (EACL 2021)";
  }

  void check(const Model& model) const override {
    std::set<int64_t> there;
    for (const InsertionSite& site : model.sites())
      if (site.kind == InsertionSite::Kind::sub_layer) there.insert(site.layer);
    if (there.empty())
      options_.refuse("name",
                      "\"adapters\" stand after sub-layers, attention and feed-forward part, which this model "
                      "does not have");
    for (const int64_t layer : layers_)
      if (!there.contains(layer))
        options_.refuse("layers", message("names layer ", layer, "; the model has layers 0 to ", *there.rbegin()));
  }

  std::shared_ptr<Insertion> insertion(const InsertionSite& site, const NetworkFacts& network) const override {
    if (site.kind != InsertionSite::Kind::sub_layer || !is_adapted(site.layer)) return nullptr;
    const bool of_attention = site.name.ends_with(".attention.output") || site.name.ends_with(".attn");
    if (pfeiffer_ && of_attention) return nullptr;
    return std::make_shared<Bottleneck>(Bottleneck::Shape{.name = adapter_name_,
                                                          .width = site.outputs,
                                                          .size = size_,
                                                          .of_the_norm = pfeiffer_,
                                                          .deviation = deviation_,
                                                          .activation = activation_of(activation_),
                                                          .numbers = numbers_of(network.precision)});
  }

  bool chooses_what_trains() const override { return true; }
  // Adapters, the norms of the layers that have one, and readouts.
  std::optional<bool> trains(const ParameterPlace& place) const override {
    if (!place.in_body || place.inserted) return std::nullopt;
    return trains_norms_ && place.layer && is_adapted(*place.layer) &&
           (place.name.find("LayerNorm.") != std::string::npos || place.name.find(".ln_") != std::string::npos);
  }
  bool keeps_only_what_trains() const override { return true; }

  // The size of up times down, per adapter: 0 is an adapter that does nothing.
  bool measures() const override { return true; }
  std::vector<Measured> measure(const StageTensors& tensors) const override {
    std::vector<Measured> all;
    const std::string path = ".adapters." + adapter_name_;
    each_ending_with(tensors, path + ".adapter_up.weight", [&](const std::string& site, const at::Tensor& up) {
      const at::Tensor& down = tensors.values.at(site + path + ".adapter_down.0.weight");
      all.push_back({"size", site, squared_norm_of_product(up, down), at::ones({}, up.options().dtype(at::kDouble))});
    });
    return all;
  }

 private:
  bool is_adapted(int64_t layer) const { return layers_.empty() || std::ranges::find(layers_, layer) != layers_.end(); }

  Section options_;
  bool pfeiffer_;
  int64_t size_;
  std::vector<int64_t> layers_;
  std::string activation_;
  double deviation_;
  bool trains_norms_;
  std::string adapter_name_;
};

const Registration<Technique, const Section&> registered("adapters", [](const Section& options) {
  return std::make_unique<Adapters>(options);
});

}  // namespace
}  // namespace interlock
