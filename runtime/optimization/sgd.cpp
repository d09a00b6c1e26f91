// Stochastic gradient descent with optional momentum. Its decay is coupled: weight_decay x value joins the gradient
// before the momentum does (AdamW's goes past the moments).
#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/_fused_sgd.h>

#include "runtime/optimization/optimizer.h"
#include "runtime/optimization/parameter_groups.h"

namespace interlock {
namespace {

class Sgd final : public Optimizer {
 public:
  struct Config {
    double momentum = 0.0, weight_decay = 0.01;
    static Config from(const Section& section) {
      Config config;
      config.momentum = section.number("momentum", config.momentum, 0.0, 1.0);
      config.weight_decay = section.number("weight_decay", config.weight_decay, 0.0);
      return config;
    }
  };
  explicit Sgd(const Config& config) : config_(config) {}

  void attach(std::vector<Parameter> parameters) override {
    for (ParameterGroup& group : groups_by_decay(parameters, config_.weight_decay)) {
      State state;
      if (config_.momentum != 0.0) state.velocity = zeros_like_each(group.values);
      state.group = std::move(group);
      states_.push_back(std::move(state));
    }
  }

  void step(double learning_rate) override {
    const at::NoGradGuard no_graph;
    for (State& state : states_) {
      // Velocities start at zero, so the first step needs no case of its own.
      at::_fused_sgd_(state.group.values, state.group.gradients, state.velocity, state.group.weight_decay,
                      config_.momentum, learning_rate, /*dampening=*/0.0, /*nesterov=*/false, /*maximize=*/false,
                      /*is_first_step=*/false);
    }
  }

  double state_ratio() const override { return config_.momentum != 0.0 ? 1.0 : 0.0; }

 private:
  struct State {
    ParameterGroup group;
    std::vector<at::Tensor> velocity;
  };
  Config config_;
  std::vector<State> states_;
};

const Registration<Optimizer, const Section&> registered("sgd", [](const Section& section) {
  return std::make_unique<Sgd>(Sgd::Config::from(section));
});

}  // namespace
}  // namespace interlock
