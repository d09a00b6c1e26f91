#pragma once
// What every Transformer says about itself alike: its units, sites, boundaries, and the local heads of plain layers.

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "models/blocks/heads.h"
#include "models/blocks/transformer_body.h"
#include "models/model.h"
#include "models/residual_stream.h"
#include "models/transformer_settings.h"
#include "runtime/core/error.h"
#include "runtime/core/nearest_name.h"

namespace interlock {

// `Settings`: a TransformerSettings with `std::string layer_path(int64_t layer) const`.
template <class Settings>
class TransformerModel : public Model, public ResidualStream {
 public:
  explicit TransformerModel(Settings settings) : settings_(std::move(settings)) {}

  int64_t units() const override { return settings_.units(); }
  bool offers(Unit) const override { return true; }
  bool has_residual_stream() const override { return settings_.block.design->pre_norm; }
  std::optional<int64_t> layer_of(int64_t unit) const override { return unit / settings_.units_of_a_block(); }
  std::vector<InsertionSite> sites() const override { return transformer_network_sites(settings_, layer_path()); }
  at::ScalarType input_type() const override { return at::kLong; }
  int64_t classes() const override { return settings_.classes; }
  int64_t vocabulary() const override { return settings_.vocabulary; }
  int64_t max_length() const override { return settings_.max_length; }
  Boundary boundary(int64_t) const override {
    return {{settings_.length, settings_.block.width}, settings_.block.numbers.hidden, 0};
  }

 protected:
  LayerPath layer_path() const {
    return [settings = settings_](int64_t layer) { return settings.layer_path(layer); };
  }
  HeadPlace head_place(int64_t units_below) const {
    const int64_t of_a_block = settings_.units_of_a_block();
    return {units_below / of_a_block, units_below % of_a_block != 0};
  }
  // Error(config) for a kind that this model does not have.
  void check_kind(const std::string& kind) const {
    const auto kinds = head_kinds();
    if (std::find(kinds.begin(), kinds.end(), kind) == kinds.end())
      throw Error(ExitCode::config, unknown_name("head", kind, kinds));
  }
  // The head "block" or "linear".
  std::shared_ptr<Head> plain_head(const std::string& kind, const HeadPlace& place) const {
    const TransformerShape& shape = settings_.block;
    std::shared_ptr<Head> made;
    if (kind == "block") {
      made = std::make_shared<BlockHead>(place.path(), shape, place.layer(), settings_.classes);
    } else {
      made = std::make_shared<LinearHead>(place.path(), shape.width, settings_.classes, shape.numbers.parameters);
    }
    initialize_blocks(*made, shape, settings_.seed);
    return made;
  }

  const Settings settings_;
};

}  // namespace interlock
