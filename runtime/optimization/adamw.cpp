// AdamW (Loshchilov and Hutter, "Decoupled weight decay regularization", ICLR 2019), by LibTorch's fused kernel: one
// pass over memory per parameter and step. It treats every element alone, so a parameter's bits do not depend on its
// neighbours in the list.
#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/zeros.h>

#include "runtime/optimization/optimizer.h"
#include "runtime/optimization/parameter_groups.h"

namespace interlock {
namespace {

class AdamW final : public Optimizer {
 public:
  struct Config {
    double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, weight_decay = 0.01;
    static Config from(const Section& section) {
      Config config;
      config.beta1 = section.number("beta1", config.beta1, 0.0, 1.0);
      config.beta2 = section.number("beta2", config.beta2, 0.0, 1.0);
      config.epsilon = section.number("epsilon", config.epsilon, 0.0);
      config.weight_decay = section.number("weight_decay", config.weight_decay, 0.0);
      // Either would divide zero by zero: 1 - beta^t, or the root of a moment that is still zero.
      if (config.beta1 == 1.0) section.refuse("beta1", "must be below 1, or no gradient is ever heard");
      if (config.beta2 == 1.0) section.refuse("beta2", "must be below 1, or no gradient is ever heard");
      if (config.epsilon == 0.0)
        section.refuse("epsilon", "must be above 0, or a parameter without gradient becomes NaN");
      return config;
    }
  };
  explicit AdamW(const Config& config) : config_(config) {}

  void attach(std::vector<Parameter> parameters) override {
    for (ParameterGroup& group : groups_by_decay(parameters, config_.weight_decay)) {
      State state;
      state.mean = zeros_like_each(group.values);
      state.square = zeros_like_each(group.values);
      // The kernel reads the step count of each parameter from a tensor; ours all count alike and share one.
      state.count = at::zeros({}, group.values.front().options().dtype(at::kFloat).requires_grad(false));
      state.counts.assign(group.values.size(), state.count);
      state.group = std::move(group);
      states_.push_back(std::move(state));
    }
  }

  void step(double learning_rate) override {
    const at::NoGradGuard no_graph;
    for (State& state : states_) {
      state.count.add_(1);
      at::_fused_adamw_(state.group.values, state.group.gradients, state.mean, state.square, {}, state.counts,
                        learning_rate, config_.beta1, config_.beta2, state.group.weight_decay, config_.epsilon,
                        /*amsgrad=*/false,
                        /*maximize=*/false);
    }
  }

  double state_ratio() const override { return 2.0; }

 private:
  struct State {
    ParameterGroup group;
    std::vector<at::Tensor> mean, square, counts;
    at::Tensor count;
  };
  Config config_;
  std::vector<State> states_;
};

const Registration<Optimizer, const Section&> registered("adamw", [](const Section& section) {
  return std::make_unique<AdamW>(AdamW::Config::from(section));
});

}  // namespace
}  // namespace interlock
