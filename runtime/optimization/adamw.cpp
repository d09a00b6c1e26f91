// AdamW (Loshchilov and Hutter, "Decoupled weight decay regularization", ICLR 2019), by LibTorch's fused kernel: one
// pass over memory per parameter and step. It treats every element alone, so a parameter's bits do not depend on its
// neighbours in the list, nor on where it is cut.
#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/_fused_adamw.h>

#include <cmath>

#include "runtime/optimization/moments.h"
#include "runtime/optimization/optimizer.h"
#include "runtime/optimization/parameter_groups.h"

namespace interlock {
namespace {

class AdamW final : public Optimizer {
 public:
  // Where epsilon joins the denominator. after: sqrt(v / (1 - beta2^t)) + epsilon, as published. fairseq: (sqrt(v) +
  // epsilon) / sqrt(1 - beta2^t), as RoBERTa was trained: larger in the first steps.
  enum class Epsilon { after, fairseq };

  AdamW(const MomentSettings& settings, Epsilon placement) : settings_(settings), placement_(placement) {}

  void attach(std::vector<Parameter> parameters) override {
    moments_ = zero_moments(parameters);
    groups_ = groups_by_decay(parameters, settings_.weight_decay);
  }

  void step(const UpdateNumbers& numbers) override {
    const at::NoGradGuard no_graph;
    count_update(moments_);
    if (placement_ == Epsilon::fairseq) counts_.advance(moments_);
    for (ParameterGroup& group : groups_) {
      const auto divisor = gradient_divisor(group, numbers.gradient_factor);
      if (placement_ == Epsilon::after) {
        update(group, 0, group.places.size(), settings_.epsilon, rate_of(group, numbers.learning_rate), divisor);
        continue;
      }
      for (size_t i = 0; i < group.places.size(); ++i) {
        const double count = counts_.of(group.places[i]);
        const double epsilon = settings_.epsilon / std::sqrt(1 - std::pow(settings_.beta2, count));
        update(group, i, i + 1, epsilon, rate_of(group, numbers.learning_rate), divisor);
      }
    }
  }

  std::vector<std::string> state_names() const override { return moment_names(); }
  std::vector<std::vector<at::Tensor>> state() const override { return listed_moments(moments_); }
  bool elementwise() const override { return true; }
  double state_ratio() const override { return 2.0; }

 private:
  // The parameters [begin, end) of a group.
  void update(const ParameterGroup& group, size_t begin, size_t end, double epsilon, const at::Tensor& learning_rate,
              const std::optional<at::Tensor>& divisor) {
    std::vector<at::Tensor> values, gradients, means, squares, counts;
    for (size_t i = begin; i < end; ++i) {
      const Moment& moment = moments_[group.places[i]];
      values.push_back(group.values[i]);
      gradients.push_back(group.gradients[i]);
      means.push_back(moment.mean);
      squares.push_back(moment.square);
      counts.push_back(moment.count);
    }
    at::_fused_adamw_(values, gradients, means, squares, {}, counts, learning_rate, settings_.beta1, settings_.beta2,
                      group.weight_decay, epsilon, /*amsgrad=*/false, /*maximize=*/false, divisor);
  }

  MomentSettings settings_;
  Epsilon placement_;
  std::vector<Moment> moments_;
  HostCounts counts_;
  std::vector<ParameterGroup> groups_;
};

const Registration<Optimizer, const Section&> registered("adamw", [](const Section& section) {
  const bool fairseq = section.one_of("epsilon_placement", "after", {"after", "fairseq"}) == "fairseq";
  return std::make_unique<AdamW>(MomentSettings::from(section, {}),
                                 fairseq ? AdamW::Epsilon::fairseq : AdamW::Epsilon::after);
});

}  // namespace
}  // namespace interlock
