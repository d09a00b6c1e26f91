#include "models/frozen_model.h"

#include <fnmatch.h>

#include <algorithm>
#include <functional>
#include <map>
#include <numeric>
#include <utility>

#include "models/model_decorator.h"
#include "runtime/core/error.h"

namespace interlock {
namespace {

// How many letters to change, add or take away until the pattern fits the name; what `*` and `?` stand for is free.
size_t distance(const std::string& pattern, const std::string& name) {
  std::vector<size_t> row(name.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (const char letter : pattern) {
    const bool any = letter == '*';
    size_t before = row[0];  // of the row above, one to the left
    row[0] += any ? 0 : 1;
    for (size_t i = 0; i < name.size(); ++i) {
      const size_t above = row[i + 1];
      const bool same = letter == '?' || letter == name[i];
      row[i + 1] = any ? std::min(above, row[i]) : std::min({above + 1, row[i] + 1, before + (same ? 0 : 1)});
      before = above;
    }
  }
  return row.back();
}

bool fits(const std::string& pattern, const std::string& name) {
  return fnmatch(pattern.c_str(), name.c_str(), 0) == 0;
}

class FrozenModel final : public ModelDecorator {
 public:
  FrozenModel(std::shared_ptr<Model> model, std::vector<std::string> patterns, Trains trains,
              const std::vector<NamedPatterns>& others)
      : ModelDecorator(std::move(model)),
        patterns_(std::move(patterns)),
        trains_(std::move(trains)),
        used_(patterns_.size(), false) {
    // Names and sizes come from the modules themselves, a unit at a time: no model says them twice.
    std::vector<std::string> names;
    const auto look_at = [&](const torch::nn::Module& module) {
      for (const auto& named : module.named_parameters()) names.push_back(named.key());
      return frozen_numbers(module);
    };
    for (int64_t unit = 0; unit < model_->units(); ++unit) {
      const auto body = model_->body(unit, unit + 1);
      note_places(*body, model_->layer_of(unit));
      frozen_of_unit_.push_back(look_at(*body));
    }
    frozen_of_readout_ = look_at(*model_->readout());
    for (size_t i = 0; i < patterns_.size(); ++i) {
      if (used_[i]) continue;
      refuse_second_name("model.frozen", i);
      refuse_unused("model.frozen", i, patterns_[i], names);
    }
    for (const auto& [key, all] : others)
      for (size_t i = 0; i < all.size(); ++i)
        if (std::ranges::none_of(names, [&](const std::string& name) { return fits(all[i], name); }))
          refuse_unused(key, i, all[i], names);
  }

  std::shared_ptr<Body> body(int64_t begin, int64_t end) const override { return frozen(model_->body(begin, end)); }
  std::shared_ptr<Head> readout() const override { return frozen(model_->readout()); }
  std::shared_ptr<Head> head(const std::string& kind, int64_t units_below) const override {
    return frozen(model_->head(kind, units_below));
  }
  std::optional<Tie> tie() const override {
    std::optional<Tie> tie = model_->tie();
    if (tie) tie->trained = !matches(tie->body);
    return tie;
  }

  std::vector<Costs> unit_costs(int64_t samples) const override {
    std::vector<Costs> costs = model_->unit_costs(samples);
    for (size_t unit = 0; unit < costs.size(); ++unit)
      costs[unit] = with_frozen(costs[unit], frozen_of_unit_[unit], samples, static_cast<int64_t>(unit));
    return costs;
  }
  Costs readout_costs(int64_t samples) const override {
    return with_frozen(model_->readout_costs(samples), frozen_of_readout_, samples, units());
  }
  Costs head_costs(const std::string& kind, int64_t samples) const override {
    return of_head(kind, model_->head_costs(kind, samples), 1, samples);
  }
  Costs head_costs_above(const std::string& kind, int64_t units_below, int64_t samples) const override {
    return of_head(kind, model_->head_costs_above(kind, units_below, samples), units_below, samples);
  }

 private:
  // The last segment of a unit's body is the unit; what stands before it is in no layer.
  void note_places(const Body& body, std::optional<int64_t> layer) {
    const std::vector<at::Tensor> own = body.segment_parameters(body.segments() - 1);
    for (const auto& named : body.named_parameters()) {
      const bool in_unit = std::ranges::any_of(own, [&](const at::Tensor& one) { return one.is_same(named.value()); });
      places_[named.key()] = {named.key(), true, in_unit ? layer : std::nullopt, model_->is_inserted(named.key())};
    }
  }

  bool is_refused(const std::string& name) const {
    if (!trains_) return false;
    const auto found = places_.find(name);
    return !trains_(found != places_.end() ? found->second : ParameterPlace{name, false, std::nullopt, false});
  }

  bool matches(const std::string& name) const {
    const std::optional<Tie> tie = model_->tie();
    const std::string& counted = tie && name == tie->readout ? tie->body : name;
    bool any = is_refused(counted);
    for (size_t i = 0; i < patterns_.size(); ++i) {
      if (!fits(patterns_[i], counted)) continue;
      used_[i] = any = true;
    }
    return any;
  }

  template <class Module>
  std::shared_ptr<Module> frozen(std::shared_ptr<Module> module) const {
    for (auto& named : module->named_parameters())
      if (matches(named.key())) named.value().set_requires_grad(false);
    return module;
  }

  // Of a head above any unit: what patterns freeze of one above the first counts, as a share.
  Costs of_head(const std::string& kind, const Costs& costs, int64_t units_below, int64_t samples) const {
    const auto [found, fresh] = frozen_of_head_.try_emplace(kind, 0);
    if (fresh) found->second = frozen_numbers(*model_->head(kind, 1));
    const int64_t of_first = model_->head_costs(kind, samples).parameters;
    const int64_t numbers = of_first > 0 ? found->second * costs.parameters / of_first : 0;
    return with_frozen(costs, numbers, samples, units_below);
  }

  int64_t frozen_numbers(const torch::nn::Module& module) const {
    int64_t numbers = 0;
    for (const auto& named : module.named_parameters())
      if (matches(named.key())) numbers += named.value().numel();
    return numbers;
  }

  // Gradients of weights are products of the same size each as the forward's: their share is the share of the numbers.
  // Where none trains, no linear layer saves its input, but for the hidden state that came in, which whoever walks the
  // units keeps; where some do, it is counted as if all did.
  Costs with_frozen(Costs costs, int64_t numbers, int64_t samples, int64_t units_below) const {
    costs.frozen = numbers;
    if (costs.parameters == 0) return costs;
    costs.weight_gradient_flops *= static_cast<double>(costs.trained()) / static_cast<double>(costs.parameters);
    if (costs.trained() > 0) return costs;
    const Boundary hidden = model_->boundary(std::max<int64_t>(1, units_below));
    const int64_t bytes = std::accumulate(hidden.shape.begin(), hidden.shape.end(), samples, std::multiplies<>()) *
                          static_cast<int64_t>(c10::elementSize(hidden.type));
    costs.activation_bytes -= std::max<int64_t>(0, costs.linear_input_bytes - bytes);
    costs.linear_input_bytes = costs.recorded_bytes = 0;
    return costs;
  }

  // Of a tensor with two names the one that files hold under its second goes by the first.
  void refuse_second_name(const std::string& key, size_t i) const {
    std::vector<std::pair<std::string, std::string>> second = model_->aliases();
    if (const std::optional<Tie> tie = model_->tie()) second.emplace_back(tie->readout, tie->body);
    for (const auto& [name, first] : second)
      if (fits(patterns_[i], name))
        throw Error(ExitCode::config, message(key, "[", i, "] = \"", patterns_[i], "\" fits ", name,
                                              ", which is another name of ", first, ": write that"));
  }

  // Which heads there are is for the learning rule to say: a pattern for heads may fit none.
  static void refuse_unused(const std::string& key, size_t i, const std::string& pattern,
                            const std::vector<std::string>& names) {
    if (pattern.starts_with("heads.")) return;
    throw Error(ExitCode::config,
                message(key, "[", i, "] = \"", pattern, "\" fits no parameter of the model; near is ",
                        nearest(pattern, names), "; `interlock inspect` lists the names of a weights file"));
  }

  static const std::string& nearest(const std::string& pattern, const std::vector<std::string>& names) {
    return *std::ranges::min_element(names, {}, [&](const std::string& name) { return distance(pattern, name); });
  }

  std::vector<std::string> patterns_;
  Trains trains_;
  std::map<std::string, ParameterPlace> places_;  // of the body's parameters, by name
  mutable std::vector<bool> used_;
  std::vector<int64_t> frozen_of_unit_;
  mutable std::map<std::string, int64_t> frozen_of_head_;  // by kind, counted when first asked for
  int64_t frozen_of_readout_ = 0;
};

}  // namespace

bool fits_any(const std::vector<std::string>& patterns, const std::string& name) {
  return std::ranges::any_of(patterns, [&](const std::string& pattern) { return fits(pattern, name); });
}

std::shared_ptr<Model> freeze(std::shared_ptr<Model> model, const std::vector<std::string>& patterns, Trains trains,
                              const std::vector<NamedPatterns>& others) {
  if (patterns.empty() && !trains) return model;
  return std::make_shared<FrozenModel>(std::move(model), patterns, std::move(trains), others);
}

}  // namespace interlock
