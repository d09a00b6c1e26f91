// Freezing: parameters, by name or by layer, that keep the values they start with.
#include <fnmatch.h>

#include <algorithm>
#include <set>

#include "models/model.h"
#include "parallel/technique/technique.h"

namespace interlock {
namespace {

class Freeze final : public Technique {
 public:
  explicit Freeze(const Section& options)
      : options_(options), names_(options.texts("names", {})), layers_(options.integers("layers", {})) {}

  std::string name() const override { return "freeze"; }
  std::string summary() const override { return "keeps parameters, by name or by layer, as they start"; }
  std::string paper() const override { return "Lee, Tang, Lin: What Would Elsa Do? Freezing Layers (2019)"; }
  std::string neutral() const override { return "names = []"; }

  void check(const Model& model) const override {
    std::set<int64_t> there;
    for (int64_t unit = 0; unit < model.units(); ++unit)
      if (const auto layer = model.layer_of(unit)) there.insert(*layer);
    if (there.empty() && !layers_.empty())
      options_.refuse("layers", "names layers, and this model has none that can be named; `names` takes patterns");
    for (const int64_t layer : layers_)
      if (!there.contains(layer))
        options_.refuse("layers", message("names layer ", layer, "; the model has layers ", *there.begin(), " to ",
                                          *there.rbegin(), " that can be named"));
  }

  std::vector<std::string> names() const override { return names_; }

  bool chooses_what_trains() const override { return !names_.empty() || !layers_.empty(); }
  std::optional<bool> trains(const ParameterPlace& place) const override {
    const bool by_name = std::ranges::any_of(
        names_, [&](const std::string& pattern) { return fnmatch(pattern.c_str(), place.name.c_str(), 0) == 0; });
    const bool by_layer = place.layer && std::ranges::find(layers_, *place.layer) != layers_.end();
    return by_name || by_layer ? std::optional(false) : std::nullopt;
  }

 private:
  Section options_;
  std::vector<std::string> names_;
  std::vector<int64_t> layers_;
};

const Registration<Technique, const Section&> registered("freeze", [](const Section& options) {
  return std::make_unique<Freeze>(options);
});

}  // namespace
}  // namespace interlock
