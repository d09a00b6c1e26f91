#include "models/layer_loads.h"

#include <algorithm>
#include <utility>

#include "models/model_decorator.h"

namespace interlock {
namespace {

class LoadedLayers final : public ModelDecorator {
 public:
  LoadedLayers(std::shared_ptr<Model> model, std::vector<double> shares)
      : ModelDecorator(std::move(model)), shares_(std::move(shares)) {}

  std::vector<Costs> unit_costs(int64_t samples) const override {
    std::vector<Costs> costs = model_->unit_costs(samples);
    for (size_t unit = 0; unit < costs.size(); ++unit)
      for (double* flops :
           {&costs[unit].forward_flops, &costs[unit].input_gradient_flops, &costs[unit].weight_gradient_flops})
        *flops *= shares_[unit];
    return costs;
  }

 private:
  std::vector<double> shares_;  // by unit
};

}  // namespace

int64_t layers_of(const Model& model) {
  int64_t layers = 0;
  for (int64_t unit = 0; unit < model.units(); ++unit)
    if (const auto layer = model.layer_of(unit)) layers = std::max(layers, *layer + 1);
  return layers;
}

std::shared_ptr<Model> with_layer_loads(std::shared_ptr<Model> model,
                                        const std::function<double(int64_t layer)>& share) {
  std::vector<double> shares;
  for (int64_t unit = 0; unit < model->units(); ++unit) {
    const std::optional<int64_t> layer = model->layer_of(unit);
    shares.push_back(layer ? share(*layer) : 1.0);
  }
  if (std::ranges::all_of(shares, [](double one) { return one == 1.0; })) return model;
  return std::make_shared<LoadedLayers>(std::move(model), std::move(shares));
}

}  // namespace interlock
