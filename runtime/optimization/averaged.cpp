#include "runtime/optimization/averaged.h"

#include <ATen/core/grad_mode.h>

#include <utility>

namespace interlock {
namespace {

class Averaged final : public Optimizer {
 public:
  Averaged(std::unique_ptr<Optimizer> inner, double decay) : inner_(std::move(inner)), decay_(decay) {}

  void attach(std::vector<Parameter> parameters) override {
    for (const Parameter& parameter : parameters) {
      values_.push_back(parameter.value.detach());
      averages_.push_back(parameter.value.detach().clone());
    }
    inner_->attach(std::move(parameters));
  }
  void step(const UpdateNumbers& numbers) override {
    inner_->step(numbers);
    const at::NoGradGuard no_graph;
    for (size_t i = 0; i < values_.size(); ++i) averages_[i].lerp_(values_[i], 1 - decay_);
  }

  std::vector<std::string> state_names() const override {
    std::vector<std::string> names = inner_->state_names();
    names.emplace_back("average");
    return names;
  }
  std::vector<std::vector<at::Tensor>> state() const override {
    std::vector<std::vector<at::Tensor>> all = inner_->state();
    for (size_t i = 0; i < all.size(); ++i) all[i].push_back(averages_[i]);
    return all;
  }
  bool elementwise() const override { return inner_->elementwise(); }
  bool keeps_averages() const override { return true; }
  at::Tensor average(size_t parameter) const override { return averages_[parameter]; }
  double state_ratio() const override { return inner_->state_ratio() + 1; }

 private:
  std::unique_ptr<Optimizer> inner_;
  double decay_;
  std::vector<at::Tensor> values_, averages_;
};

}  // namespace

std::unique_ptr<Optimizer> averaged(std::unique_ptr<Optimizer> inner, double decay) {
  return std::make_unique<Averaged>(std::move(inner), decay);
}

}  // namespace interlock
