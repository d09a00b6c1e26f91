// Layer-wise learning rates: the lower a layer, the slower it learns.
#include <cmath>

#include "models/insertion_site.h"
#include "parallel/technique/technique.h"

namespace interlock {
namespace {

class LayerwiseLearningRate final : public Technique {
 public:
  explicit LayerwiseLearningRate(const Section& options) : factor_(options.number("factor", 0.9, 0.0, 1.0)) {
    if (factor_ == 0)
      options.refuse("factor", "must be above 0: what shall not learn is frozen (technique \"freeze\")");
  }
  std::string name() const override { return "layerwise_learning_rate"; }
  std::string summary() const override { return "lets lower layers learn slower, by one factor per layer"; }
  std::string paper() const override {
    return "Howard, Ruder: Universal Language Model Fine-tuning for Text Classification (ACL 2018)";
  }
  std::string neutral() const override { return "factor = 1.0"; }
  bool chooses_rates() const override { return factor_ != 1; }
  // Readouts 1, the top layer one factor, and so on down to what stands below the first layer.
  double rate_factor(const ParameterPlace& place, int64_t layers) const override {
    if (!place.in_body) return 1;
    return std::pow(factor_, static_cast<double>(layers - place.layer.value_or(-1)));
  }

 private:
  double factor_;
};

const Registration<Technique, const Section&> registered("layerwise_learning_rate", [](const Section& options) {
  return std::make_unique<LayerwiseLearningRate>(options);
});

}  // namespace
}  // namespace interlock
