// LayerDrop: whole layers are dropped at random while training, so that shallower networks can be cut out of the deep
// one afterwards (`interlock prune`). Survivors are not rescaled, and evaluation runs all layers.
#include <set>
#include <vector>

#include "models/model.h"
#include "parallel/technique/layer_gates.h"

namespace interlock {
namespace {

class LayerDrop final : public Technique {
 public:
  explicit LayerDrop(const Section& options) : options_(options) {
    if (options.is_list("rate")) {
      rates_ = options.numbers("rate", {});
    } else {
      rates_ = {options.number("rate", 0.2)};
    }
    for (const double rate : rates_)
      if (!(rate >= 0 && rate < 1))
        options.refuse("rate", message(rate, " is no rate: from 0 to below 1, the share of microbatches that a layer ",
                                       "is dropped in; what always stays out is pruned (`interlock prune`)"));
    balance_ = read_balance(options);
  }

  std::string name() const override { return "layer_drop"; }
  std::string summary() const override {
    return "drops whole layers at random while training, so that a shallower model can be pruned out afterwards";
  }
  std::string paper() const override {
    return "Fan, Grave, Joulin: Reducing Transformer Depth on Demand with Structured Dropout (ICLR 2020)";
  }
  std::string neutral() const override { return "rate = 0.0"; }

  void check(const Model& model) const override {
    if (!options_.is_list("rate")) return;
    std::set<int64_t> droppable;
    for (int64_t unit = 0; unit < model.units(); ++unit)
      if (const auto layer = model.layer_of(unit)) droppable.insert(*layer);
    const int64_t layers = droppable.empty() ? 0 : *droppable.rbegin() + 1;
    if (std::ssize(rates_) != layers)
      options_.refuse("rate", message("has ", rates_.size(), " entries, but the model has ", layers,
                                      " layers: give one rate per layer, or one number for all"));
    for (int64_t layer = 0; layer < layers; ++layer)
      if (!droppable.contains(layer) && rate_of(layer) > 0)
        options_.refuse("rate", message("has ", rate_of(layer), " for layer ", layer,
                                        ", which this model cannot do without: write 0 there"));
  }

  bool chooses_layers() const override { return true; }
  bool runs(const LayerPlace& place, const Occasion& at) const override {
    return layer_gate(balance_, place, at, [this](int64_t layer) { return rate_of(layer); });
  }
  double share_of_runs(int64_t layer, int64_t) const override { return 1 - rate_of(layer); }
  TechniqueNumbers of_step(const StepPasses& passes) const override {
    return {{"layers_run", share_that_runs(*this, passes)}};
  }

 private:
  double rate_of(int64_t layer) const { return rates_[rates_.size() == 1 ? 0 : static_cast<size_t>(layer)]; }

  Section options_;
  std::vector<double> rates_;  // of all layers, or of each
  GateBalance balance_ = GateBalance::independent;
};

const Registration<Technique, const Section&> registered("layer_drop", [](const Section& options) {
  return std::make_unique<LayerDrop>(options);
});

}  // namespace
}  // namespace interlock
