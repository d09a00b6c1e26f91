#pragma once
// A model that is another one but for what a derived class says otherwise.

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "models/model.h"

namespace interlock {

class ModelDecorator : public Model {
 public:
  explicit ModelDecorator(std::shared_ptr<Model> model) : model_(std::move(model)) {}

  int64_t units() const override { return model_->units(); }
  bool offers(Unit unit) const override { return model_->offers(unit); }
  std::optional<int64_t> layer_of(int64_t unit) const override { return model_->layer_of(unit); }
  std::shared_ptr<Body> body(int64_t begin, int64_t end) const override { return model_->body(begin, end); }
  std::shared_ptr<Head> readout() const override { return model_->readout(); }
  std::shared_ptr<Head> head(const std::string& kind, int64_t units_below) const override {
    return model_->head(kind, units_below);
  }
  std::vector<std::string> head_kinds() const override { return model_->head_kinds(); }
  std::vector<InsertionSite> sites() const override { return model_->sites(); }
  bool is_inserted(const std::string& parameter) const override { return model_->is_inserted(parameter); }
  std::vector<std::pair<std::string, std::string>> aliases() const override { return model_->aliases(); }
  std::optional<Tie> tie() const override { return model_->tie(); }
  std::vector<Costs> unit_costs(int64_t samples) const override { return model_->unit_costs(samples); }
  Costs readout_costs(int64_t samples) const override { return model_->readout_costs(samples); }
  Costs head_costs(const std::string& kind, int64_t samples) const override {
    return model_->head_costs(kind, samples);
  }
  Costs head_costs_above(const std::string& kind, int64_t units_below, int64_t samples) const override {
    return model_->head_costs_above(kind, units_below, samples);
  }
  at::ScalarType input_type() const override { return model_->input_type(); }
  int64_t classes() const override { return model_->classes(); }
  int64_t vocabulary() const override { return model_->vocabulary(); }
  int64_t max_length() const override { return model_->max_length(); }
  Boundary boundary(int64_t units_below) const override { return model_->boundary(units_below); }

 protected:
  std::shared_ptr<Model> model_;
};

}  // namespace interlock
