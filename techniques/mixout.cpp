// Mixout: while a model is fine-tuned, each weight is now and then what it was when training started, so that the model
// is pulled back to where it came from.
#include <ATen/ops/empty.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <mutex>
#include <set>

#include "models/blocks/layers.h"
#include "models/blocks/numbers.h"
#include "parallel/technique/measured.h"
#include "parallel/technique/technique.h"
#include "runtime/core/random.h"

namespace interlock {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// `mixed` as a function of the weight: its derivative is `factor`, element by element.
struct Mixed : torch::autograd::Function<Mixed> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& /*weight*/, const at::Tensor& mixed,
                            const at::Tensor& factor) {
    context->save_for_backward({factor});
    return mixed.detach();  // the same memory for all microbatches of a step
  }
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    return {gradients[0] * context->get_saved_variables()[0], at::Tensor(), at::Tensor()};
  }
};

// Holds what the weight was when training started, as a parameter that does not train: checkpoints have it.
class MixedWeight final : public Insertion {
 public:
  struct Options {
    InsertionSite site;
    double rate = 0;
    bool by_neuron = false, reference_scale = false;
    Numbers numbers;
  };

  explicit MixedWeight(const Options& options) : options_(options) {
    started_ = std::make_shared<Linear>(options.site.inputs, options.site.outputs, options.numbers.parameters, false);
    attach(*this, "mixout", started_);
  }

  void start(at::Tensor& value, const std::string&, uint64_t) const override { value.fill_(nan); }
  void begin(const at::Tensor& weight) override {
    if (std::isnan(started_->weight.flatten()[0].item<double>())) started_->weight.detach().copy_(weight.detach());
  }

  // Drawn once per step for all microbatches, passes and replicas.
  at::Tensor weight(const at::Tensor& weight, const ForwardContext& context) override {
    if (!context.training || options_.rate == 0) return weight;
    const Mixture now = mixture(weight.detach(), context);
    return Mixed::apply(weight, now.mixed, now.factor);
  }

  // The copy, and per step what is mixed and with which factors; the gradient of the whole is made apart.
  Costs costs(int64_t) const override {
    const int64_t numbers = options_.site.inputs * options_.site.outputs;
    Costs costs;
    costs.parameters = numbers;
    costs.working_bytes = costs.kept_working_bytes = costs.forward_working_bytes =
        3 * numbers * options_.numbers.parameter_bytes();
    return costs;
  }

 private:
  static constexpr double nan = std::numeric_limits<double>::quiet_NaN();

  struct Mixture {
    int64_t step = -1;
    at::Tensor mixed, factor;
  };

  // The step's own, made by whoever asks first: where a stored model tells how sure it is, several threads pass through
  // it, each with a draw of its own.
  Mixture mixture(const at::Tensor& weight, const ForwardContext& context) {
    const std::lock_guard lock(mixing_);
    if (mixture_.step != context.step || !mixture_.mixed.defined()) mixture_ = mix(weight, context);
    return mixture_;
  }

  // U + B / (1 - p) (W - U): the mean over B is W.
  Mixture mix(const at::Tensor& weight, const ForwardContext& context) const {
    const at::NoGradGuard no_graph;
    const RandomKey key =
        random_key(context.seed, Purpose::weight_noise, static_cast<uint64_t>(context.step),
                   static_cast<uint64_t>(options_.site.layer), static_cast<uint64_t>(options_.site.place));
    at::Tensor factor =
        at::empty({options_.by_neuron ? 1 : weight.size(0), weight.size(1)}, weight.options().device(at::kCPU));
    if (factor.scalar_type() == at::kDouble) {
      fill_dropout(factor.mutable_data_ptr<double>(), factor.numel(), options_.rate, key, 0);
    } else {
      fill_dropout(factor.mutable_data_ptr<float>(), factor.numel(), options_.rate, key, 0);
    }
    factor = factor.to(weight.device());
    return {.step = context.step,
            .mixed = started_->weight.detach() + factor * (weight - started_->weight.detach()),
            .factor = options_.reference_scale ? factor * (1 - options_.rate) : factor};
  }

  Options options_;
  std::shared_ptr<Linear> started_;
  std::mutex mixing_;
  Mixture mixture_;  // of the step that was asked for last
};

class Mixout final : public Technique {
 public:
  explicit Mixout(const Section& options)
      : options_(options),
        rate_(options.number("rate", 0.7, 0.0, 1.0)),
        targets_(options.texts("targets", {})),
        by_neuron_(options.one_of("form", "weight", {"weight", "neuron"}) == "neuron"),
        reference_scale_(options.one_of("derivative", "true", {"true", "reference"}) == "reference") {
    if (rate_ == 1.0) options.refuse("rate", "must be below 1: with 1 nothing would ever be what it has become");
  }

  std::string name() const override { return "mixout"; }
  std::string summary() const override {
    return "mixes weights with those that training started from, at random, to keep fine-tuning stable";
  }
  std::string paper() const override {
    return "Lee, Cho, Kang: Mixout: Effective Regularization to Finetune Large-scale Pretrained Language Models "
           "(ICLR 2020)";
  }
  std::string neutral() const override { return "rate = 0.0"; }

  void check(const Model& model) const override {
    std::set<std::string> unused(targets_.begin(), targets_.end()), known;
    for (const InsertionSite& site : model.sites()) {
      if (site.kind != InsertionSite::Kind::linear) continue;
      known.insert(site.name.substr(site.name.find_last_of('.') + 1));
      std::erase_if(unused, [&](const std::string& target) { return is_target(site.name, target); });
    }
    if (!unused.empty())
      options_.refuse("targets", unknown_name("linear layer", *unused.begin(), {known.begin(), known.end()}));
  }

  std::shared_ptr<Insertion> insertion(const InsertionSite& site, const NetworkFacts& network) const override {
    const bool wanted = targets_.empty() || std::ranges::any_of(targets_, [&](const std::string& target) {
                          return is_target(site.name, target);
                        });
    if (rate_ == 0 || site.kind != InsertionSite::Kind::linear || !wanted) return nullptr;
    return std::make_shared<MixedWeight>(
        MixedWeight::Options{site, rate_, by_neuron_, reference_scale_, numbers_of(network.precision)});
  }

  std::string conflict(const Technique& other) const override {
    if (rate_ == 0 || !other.keeps_only_what_trains()) return "";
    return "it mixes weights that are trained with those they started from, and \"" + other.name() +
           "\" keeps these as they start";
  }

  bool chooses_what_trains() const override { return rate_ > 0; }
  std::optional<bool> trains(const ParameterPlace& place) const override {
    return place.name.ends_with(".mixout.weight") ? std::optional(false) : std::nullopt;
  }

  // How far the weights have come from where they started, beside those.
  bool measures() const override { return rate_ > 0; }
  std::vector<Measured> measure(const StageTensors& tensors) const override {
    std::vector<Measured> all;
    each_ending_with(tensors, ".mixout.weight", [&](const std::string& site, const at::Tensor& start) {
      const at::Tensor way = tensors.values.at(site + ".weight").detach() - start.detach();
      all.push_back({"distance", site, squared_norm(way), squared_norm(start)});
    });
    return all;
  }

 private:
  static bool is_target(const std::string& site, const std::string& target) {
    return site == target || site.ends_with("." + target);
  }

  Section options_;
  double rate_;
  std::vector<std::string> targets_;
  bool by_neuron_, reference_scale_;
};

const Registration<Technique, const Section&> registered("mixout", [](const Section& options) {
  return std::make_unique<Mixout>(options);
});

}  // namespace
}  // namespace interlock
