#include "models/equipped_model.h"

#include <c10/core/GradMode.h>

#include <set>
#include <string>
#include <utility>

#include "models/model_decorator.h"

namespace interlock {
namespace {

class EquippedModel final : public ModelDecorator {
 public:
  EquippedModel(std::shared_ptr<Model> model, InsertionsAt insertions, uint64_t seed)
      : ModelDecorator(std::move(model)), insertions_(std::move(insertions)), seed_(seed) {
    for (const InsertionSite& site : model_->sites()) {
      const auto here = insertions_(site);
      if (!here.empty()) sites_.push_back(site);
      for (const auto& insertion : here)
        for (const auto& named : insertion->named_parameters()) names_.insert(site.name + "." + named.key());
    }
  }
  bool changes() const { return !sites_.empty(); }

  std::shared_ptr<Body> body(int64_t begin, int64_t end) const override {
    const std::shared_ptr<Body> body = model_->body(begin, end);
    const c10::NoGradGuard no_graph;
    for (const InsertionSite& site : sites_) {
      if (site.unit < begin || site.unit >= end) continue;
      for (const auto& insertion : insertions_(site)) {
        for (auto& named : insertion->named_parameters())
          insertion->start(named.value(), site.name + "." + named.key(), seed_);
        body->insert(site, insertion);
      }
    }
    return body;
  }

  bool is_inserted(const std::string& parameter) const override { return names_.contains(parameter); }

  std::vector<Costs> unit_costs(int64_t samples) const override {
    std::vector<Costs> costs = model_->unit_costs(samples);
    const Boundary hidden = model_->boundary(1);
    int64_t rows = samples;  // all but the width
    for (size_t i = 0; i + 1 < hidden.shape.size(); ++i) rows *= hidden.shape[i];
    for (const InsertionSite& site : sites_)
      for (const auto& insertion : insertions_(site)) costs[static_cast<size_t>(site.unit)] += insertion->costs(rows);
    return costs;
  }

 private:
  InsertionsAt insertions_;
  uint64_t seed_;
  std::vector<InsertionSite> sites_;  // where something is inserted
  std::set<std::string> names_;       // of inserted parameters
};

}  // namespace

std::shared_ptr<Model> equip(std::shared_ptr<Model> model, InsertionsAt insertions, uint64_t seed) {
  auto equipped = std::make_shared<EquippedModel>(model, std::move(insertions), seed);
  return equipped->changes() ? equipped : model;
}

}  // namespace interlock
