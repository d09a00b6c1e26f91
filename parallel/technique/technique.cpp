#include "parallel/technique/technique.h"

#include <algorithm>

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

double share_of_runs(const TechniqueList& techniques, int64_t layer) {
  double share = 1;
  for (const auto& technique : techniques)
    if (technique->chooses_layers()) share *= technique->share_of_runs(layer);
  return share;
}

bool choose_layers(const TechniqueList& techniques) {
  return std::ranges::any_of(techniques, [](const auto& technique) { return technique->chooses_layers(); });
}

}  // namespace interlock
