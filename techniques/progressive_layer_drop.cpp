// Progressive layer dropping: blocks are left out more often as training goes on and the deeper they lie. What a block
// that runs adds to the residual is divided by the probability that it runs, so that its mean stays the same.
#include <cmath>

#include "models/blocks/numbers.h"
#include "models/insertion.h"
#include "models/model.h"
#include "models/residual_stream.h"
#include "parallel/technique/layer_gates.h"

namespace interlock {
namespace {

// The probability that one of `layers` layers runs; theta is that of the last one.
double keep_probability(double theta, int64_t layer, int64_t layers) {
  return 1 - static_cast<double>(layer + 1) / static_cast<double>(layers) * (1 - theta);
}

// y / p, of what a sub-layer adds.
class Rescaled final : public Insertion {
 public:
  using Probability = std::function<double(int64_t step)>;
  Rescaled(Probability keep, int64_t width, int64_t number_bytes)
      : keep_(std::move(keep)), row_bytes_(width * number_bytes) {}

  at::Tensor after(const at::Tensor&, const at::Tensor& y, const Norm&, const ForwardContext& context) override {
    return context.training ? y.mul(1 / keep_(context.step)) : y;
  }
  void start(at::Tensor&, const std::string&, uint64_t) const override {}
  Costs costs(int64_t rows) const override {
    Costs costs;
    costs.working_bytes = costs.kept_working_bytes = costs.forward_working_bytes = 2 * rows * row_bytes_;
    return costs;
  }

 private:
  Probability keep_;
  int64_t row_bytes_;
};

class ProgressiveLayerDrop final : public Technique {
 public:
  explicit ProgressiveLayerDrop(const Section& options)
      : options_(options),
        theta_(options.number("theta", 0.5, 0.0, 1.0)),
        gamma_(options.number("gamma", 0.001, 0.0)),
        balance_(read_balance(options)) {
    if (theta_ == 0)
      options.refuse("theta", "must be above 0: what the last layer adds is divided by the share in which it runs");
    if (gamma_ == 0) options.refuse("gamma", "must be above 0: nothing would ever be left out; theta = 1 says that");
  }

  std::string name() const override { return "progressive_layer_drop"; }
  std::string summary() const override {
    return "leaves out layers more often as training goes on and the deeper they lie, so that training costs less";
  }
  std::string paper() const override {
    return "Zhang, He: Accelerating Training of Transformer-Based Language Models with Progressive Layer Dropping "
           "(NeurIPS 2020)";
  }
  std::string neutral() const override { return "theta = 1.0"; }
  std::vector<std::string> needs() const override { return {"model.norm=pre"}; }

  void check(const Model& model) const override {
    const auto* stream = dynamic_cast<const ResidualStream*>(&model);
    if (stream == nullptr)
      options_.refuse("name",
                      "\"progressive_layer_drop\" is for blocks whose parts add to a residual, which this "
                      "model does not have");
    if (!stream->has_residual_stream())
      options_.refuse("name",
                      "\"progressive_layer_drop\" needs pre-norm blocks (model.norm = \"pre\", or model.name = "
                      "\"gpt\"): it divides what a part "
                      "adds by the share in which it runs, and a norm behind the sum would take that back");
  }

  bool chooses_layers() const override { return true; }
  bool runs(const LayerPlace& place, const Occasion& at) const override {
    return layer_gate(balance_, place, at,
                      [&](int64_t layer) { return 1 - keep_probability(theta_at(at.step), layer, place.layers); });
  }
  double share_of_runs(int64_t layer, int64_t layers) const override { return keep_probability(theta_, layer, layers); }

  std::shared_ptr<Insertion> insertion(const InsertionSite& site, const NetworkFacts& network) const override {
    if (theta_ == 1 || site.kind != InsertionSite::Kind::sub_layer) return nullptr;
    const auto keep = [*this, layer = site.layer, layers = network.layers](int64_t step) {
      return keep_probability(theta_at(step), layer, layers);
    };
    return std::make_shared<Rescaled>(keep, site.outputs, bytes_of_numbers(network.precision));
  }

  TechniqueNumbers of_step(const StepPasses& passes) const override {
    return {{"layers_run", share_that_runs(*this, passes)}, {"theta", theta_at(passes.step)}};
  }

 private:
  static int64_t bytes_of_numbers(Precision precision) { return numbers_of(precision).hidden_bytes(); }

  // In the first step nothing is left out; in the long run the last layer runs in a share `theta`.
  double theta_at(int64_t step) const {
    return (1 - theta_) * std::exp(-gamma_ * static_cast<double>(step - 1)) + theta_;
  }

  Section options_;
  double theta_, gamma_;
  GateBalance balance_;
};

const Registration<Technique, const Section&> registered("progressive_layer_drop", [](const Section& options) {
  return std::make_unique<ProgressiveLayerDrop>(options);
});

}  // namespace
}  // namespace interlock
