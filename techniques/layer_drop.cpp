// LayerDrop: whole layers are dropped at random while training, so that shallower networks can be cut out of the deep
// one afterwards (`interlock prune`). Survivors are not rescaled, and evaluation runs all layers.
#include <array>
#include <cmath>
#include <set>
#include <vector>

#include "models/model.h"
#include "parallel/technique/technique.h"
#include "runtime/core/random.h"

namespace interlock {
namespace {

// Sites of Purpose::layer_gates.
enum : uint64_t { gate_site = 0, order_site = 1, offset_site = 2 };

std::array<uint32_t, 4> words_of(const Occasion& at, uint64_t layer, uint64_t site) {
  const RandomKey key = random_key(at.seed, Purpose::layer_gates, static_cast<uint64_t>(at.step), layer, site);
  return philox(key, static_cast<uint64_t>(at.microbatch), 0);
}

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
    stratified_ = options.one_of("balance", "independent", {"independent", "stratified"}) == "stratified";
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
    if (stratified_) return survives_in_its_stage(place, at);
    return unit_interval(words_of(at, static_cast<uint64_t>(place.layer), gate_site)[0]) > rate_of(place.layer);
  }
  double share_of_runs(int64_t layer) const override { return 1 - rate_of(layer); }

 private:
  double rate_of(int64_t layer) const { return rates_[rates_.size() == 1 ? 0 : static_cast<size_t>(layer)]; }

  // Systematic sampling (Madow, 1949): the layers of a stage lie end to end, each as long as it is likely to run, in an
  // order drawn anew; those in which a mark of the grid u, u + 1, ... ends run. Every layer keeps its probability, and
  // as many of a stage run as are expected, rounded one way or the other: for stages that expect equally many the same
  // way, since they share u.
  bool survives_in_its_stage(const LayerPlace& place, const Occasion& at) const {
    const auto words = words_of(at, static_cast<uint64_t>(place.first), order_site);
    const auto count = static_cast<uint64_t>(place.count);
    std::vector<int64_t> in_order;
    for (uint64_t turn = 0; turn < count; ++turn)
      in_order.push_back(place.first + static_cast<int64_t>(permuted({words[0], words[1]}, turn, count)));
    double end = unit_interval(words_of(at, 0, offset_site)[0]);
    for (const int64_t layer : in_order) {
      const double begin = end;
      end += 1 - rate_of(layer);
      if (layer == place.layer) return std::floor(end) > std::floor(begin);
    }
    return true;
  }

  Section options_;
  std::vector<double> rates_;  // of all layers, or of each
  bool stratified_ = false;
};

const Registration<Technique, const Section&> registered("layer_drop", [](const Section& options) {
  return std::make_unique<LayerDrop>(options);
});

}  // namespace
}  // namespace interlock
