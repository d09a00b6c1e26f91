#include "parallel/technique/technique.h"

#include <algorithm>

#include "parallel/technique/measured.h"
#include "runtime/optimization/optimizer.h"

namespace interlock {
namespace {

void refuse_pair(const Section& table, const Technique& one, const Technique& other) {
  if (one.name() == other.name())
    table.refuse("name", message("\"", one.name(), "\" stands twice; write it once, with all of its options"));
  std::string reason = one.conflict(other);
  if (reason.empty()) reason = other.conflict(one);
  if (reason.empty() && one.chooses_layers() && other.chooses_layers())
    reason = "both choose the layers that a microbatch passes through";
  if (!reason.empty())
    table.refuse("name", message("\"", one.name(), "\" cannot work together with \"", other.name(), "\": ", reason));
}

}  // namespace

std::unique_ptr<Optimizer> Technique::around(std::unique_ptr<Optimizer> optimizer) const { return optimizer; }

std::vector<Measured> Technique::measure(const StageTensors&) const { return {}; }

TechniqueList read_techniques(const Config& config) {
  TechniqueList list;
  for (const Section& table : config.section("").sections("technique")) {
    const std::vector<std::string> known = Techniques::instance().names();
    if (!table.has("name")) table.refuse("name", "is missing; known techniques: " + join(known));
    const std::string name = table.text("name", "");
    if (std::ranges::find(known, name) == known.end()) table.refuse("name", unknown_name("technique", name, known));
    std::shared_ptr<const Technique> made = Techniques::instance().create("technique", name, table);
    for (const auto& other : list) refuse_pair(table, *made, *other);
    list.push_back(std::move(made));
  }
  return list;
}

bool layer_runs(const TechniqueList& techniques, const LayerPlace& place, const Occasion& occasion) {
  return std::ranges::all_of(techniques, [&](const auto& technique) {
    return !technique->chooses_layers() || technique->runs(place, occasion);
  });
}

double share_of_runs(const TechniqueList& techniques, int64_t layer, int64_t layers) {
  double share = 1;
  for (const auto& technique : techniques)
    if (technique->chooses_layers()) share *= technique->share_of_runs(layer, layers);
  return share;
}

double share_that_runs(const Technique& technique, const StepPasses& passes) {
  int64_t all = 0, run = 0;
  for (int64_t microbatch = 0; microbatch < passes.microbatches; ++microbatch)
    for (const LayerPlace& place : passes.layers) {
      ++all;
      run += technique.runs(place, {passes.seed, passes.step, microbatch}) ? 1 : 0;
    }
  return all == 0 ? 1 : static_cast<double>(run) / static_cast<double>(all);
}

bool choose_layers(const TechniqueList& techniques) {
  return std::ranges::any_of(techniques, [](const auto& technique) { return technique->chooses_layers(); });
}

std::vector<std::shared_ptr<Insertion>> insertions_at(const TechniqueList& techniques, const InsertionSite& site,
                                                      const NetworkFacts& network) {
  std::vector<std::shared_ptr<Insertion>> all;
  for (const auto& technique : techniques)
    if (auto made = technique->insertion(site, network)) all.push_back(std::move(made));
  return all;
}

bool choose_what_trains(const TechniqueList& techniques) {
  return std::ranges::any_of(techniques, [](const auto& technique) { return technique->chooses_what_trains(); });
}

bool parameter_trains(const TechniqueList& techniques, const ParameterPlace& place) {
  bool trains = true;
  for (const auto& technique : techniques)
    if (technique->chooses_what_trains()) trains = technique->trains(place).value_or(trains);
  return trains;
}

bool choose_rates(const TechniqueList& techniques) {
  return std::ranges::any_of(techniques, [](const auto& technique) { return technique->chooses_rates(); });
}

double rate_factor(const TechniqueList& techniques, const ParameterPlace& place, int64_t layers) {
  double factor = 1;
  for (const auto& technique : techniques)
    if (technique->chooses_rates()) factor *= technique->rate_factor(place, layers);
  return factor;
}

bool keep_only_what_trains(const TechniqueList& techniques) {
  return std::ranges::any_of(techniques, [](const auto& technique) {
    return technique->chooses_what_trains() && technique->keeps_only_what_trains();
  });
}

}  // namespace interlock
