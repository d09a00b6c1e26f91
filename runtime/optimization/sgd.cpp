// Stochastic gradient descent with optional momentum, Nesterov's too, as torch.optim.SGD with dampening 0. Its decay is
// coupled: weight_decay x value joins the gradient before the momentum does (AdamW's goes past the moments).
#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/_fused_sgd.h>
#include <ATen/ops/zeros_like.h>

#include "runtime/optimization/optimizer.h"
#include "runtime/optimization/parameter_groups.h"

namespace interlock {
namespace {

class Sgd final : public Optimizer {
 public:
  struct Config {
    double momentum = 0.0, weight_decay = 0.01;
    bool nesterov = false;
    bool decays_all = false;  // biases and norms too
    static Config from(const Section& section) {
      Config config;
      config.momentum = section.number("momentum", config.momentum, 0.0, 1.0);
      config.weight_decay = section.number("weight_decay", config.weight_decay, 0.0);
      config.nesterov = section.flag("nesterov", config.nesterov);
      if (config.nesterov && config.momentum == 0.0)
        section.refuse("nesterov", "looks ahead along the momentum, and optimizer.momentum is 0");
      config.decays_all = section.one_of("decayed", "weights", {"weights", "all"}) == "all";
      return config;
    }
  };
  explicit Sgd(const Config& config) : config_(config) {}

  void attach(std::vector<Parameter> parameters) override {
    for (Parameter& parameter : parameters) parameter.decays |= config_.decays_all;
    groups_ = groups_by_decay(parameters, config_.weight_decay);
    velocities_.resize(parameters.size());
    if (config_.momentum == 0.0) return;
    for (size_t i = 0; i < parameters.size(); ++i) velocities_[i] = {at::zeros_like(parameters[i].value.detach())};
  }

  void step(const UpdateNumbers& numbers) override {
    const at::NoGradGuard no_graph;
    for (ParameterGroup& group : groups_) {
      const auto divisor = gradient_divisor(group, numbers.gradient_factor);
      std::vector<at::Tensor> velocities;  // none without momentum
      for (const size_t place : group.places)
        velocities.insert(velocities.end(), velocities_[place].begin(), velocities_[place].end());
      // Velocities start at zero, so the first step needs no case of its own.
      at::_fused_sgd_(group.values, group.gradients, velocities, group.weight_decay, config_.momentum,
                      rate_of(group, numbers.learning_rate),
                      /*dampening=*/0.0, config_.nesterov, /*maximize=*/false, /*is_first_step=*/false, divisor);
    }
  }

  std::vector<std::string> state_names() const override {
    return config_.momentum == 0.0 ? std::vector<std::string>{} : std::vector<std::string>{"velocity"};
  }
  std::vector<std::vector<at::Tensor>> state() const override { return velocities_; }
  bool elementwise() const override { return true; }
  double state_ratio() const override { return config_.momentum != 0.0 ? 1.0 : 0.0; }

 private:
  Config config_;
  std::vector<ParameterGroup> groups_;
  std::vector<std::vector<at::Tensor>> velocities_;  // per parameter: one, or none without momentum
};

const Registration<Optimizer, const Section&> registered("sgd", [](const Section& section) {
  return std::make_unique<Sgd>(Sgd::Config::from(section));
});

}  // namespace
}  // namespace interlock
