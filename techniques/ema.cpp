// A running average of the weights is what is evaluated and left behind.
#include "parallel/technique/measured.h"
#include "parallel/technique/technique.h"
#include "runtime/optimization/averaged.h"

namespace interlock {
namespace {

class Ema final : public Technique {
 public:
  explicit Ema(const Section& options) : decay_(options.number("decay", 0.99, 0.0, 1.0)) {
    if (decay_ == 1) options.refuse("decay", "must be below 1: with 1 the average would stay where it began");
  }
  std::string name() const override { return "ema"; }
  std::string summary() const override {
    return "evaluates and exports a running average of the weights; training itself goes on as without";
  }
  std::string paper() const override {
    return "Polyak, Juditsky: Acceleration of Stochastic Approximation by Averaging (1992)";
  }
  std::string neutral() const override { return "decay = 0.0"; }
  std::unique_ptr<Optimizer> around(std::unique_ptr<Optimizer> optimizer) const override {
    return averaged(std::move(optimizer), decay_);
  }
  // How far the average lies behind the weights, beside those.
  bool measures() const override { return true; }
  std::vector<Measured> measure(const StageTensors& tensors) const override {
    std::vector<Measured> all;
    for (const auto& [parameter, begin, value, average] : tensors.averages)
      all.push_back(
          {"distance", message(parameter, " from ", begin), squared_norm(average.sub(value)), squared_norm(value)});
    return all;
  }

 private:
  double decay_;
};

const Registration<Technique, const Section&> registered("ema", [](const Section& options) {
  return std::make_unique<Ema>(options);
});

}  // namespace
}  // namespace interlock
