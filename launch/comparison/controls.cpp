#include "launch/comparison/controls.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "runtime/core/error.h"
#include "runtime/core/nearest_name.h"

namespace interlock {
namespace {

RuleWord frozen_lower(int stages) {
  std::vector<std::string> lower;
  for (int stage = 0; stage < stages / 2; ++stage) lower.push_back(std::to_string(stage));
  return {"frozen_lower", {"learning.rule=global", "learning.frozen=[" + join(lower) + "]"}, {}};
}

RuleGroup group_of(const RunSettings& base, const RuleWord& word, const std::string& head, int stages) {
  RuleGroup group{word, head, stages, word.overrides, true};
  if (head != "none") group.overrides.push_back("learning.head=" + head);
  group.overrides.push_back(message("parallel.stages=", stages));
  group.overrides.push_back(message("parallel.ranks=", ranks_for(base, stages)));
  return group;
}

// The costliest of the rules compared with this head, and what its step costs.
std::pair<const RuleGroup*, double> costliest(const Groups& groups, const std::string& head, int stages,
                                              const FlopsOf& flops_of) {
  std::pair<const RuleGroup*, double> most{nullptr, 0};
  for (const RuleGroup& group : groups.all) {
    if (group.control || group.stages != stages || (group.head != head && group.head != "none")) continue;
    if (const double flops = flops_of(group.overrides); flops > most.second) most = {&group, flops};
  }
  return most;
}

// Local with a deeper trunk ("Greedy SL+" of Wang et al., arXiv 2101.10832), or why there is none.
void add_deeper(Groups& groups, const RunSettings& base, const std::string& head, int stages, const FlopsOf& flops_of) {
  const std::string name = message("local_deeper at ", stages, " stages: ");
  const Section model = base.config.section("model");
  const auto [rival, most] = costliest(groups, head, stages, flops_of);
  if (rival == nullptr) return;
  if (!model.has("layers")) {
    groups.left_out.push_back(name + "the config does not set model.layers");
    return;
  }
  const int64_t layers = model.integer("layers", 0);
  const auto with_layers = [&](int64_t count) {
    RuleGroup group = group_of(base, {message("local_deeper:", count), {"learning.rule=local"}, {}}, head, stages);
    group.overrides.push_back(message("model.layers=", count));
    return group;
  };
  try {
    const double own = flops_of(with_layers(layers).overrides);
    const double of_layer = flops_of(with_layers(layers + 1).overrides) - own;
    const auto more = static_cast<int64_t>(std::lround((most - own) / of_layer));
    if (more < 1) {
      groups.left_out.push_back(message(name, "local costs as much as ", rival->label(), " as it is"));
      return;
    }
    groups.all.push_back(with_layers(layers + more));
  } catch (const Error& error) {
    groups.left_out.push_back(name + error.what());
  }
}

void add_named(Groups& groups, const RunSettings& base, const RuleWord& word, const std::vector<std::string>& heads,
               int count) {
  try {
    Groups more = make_groups(base, {word}, heads, {count});
    for (RuleGroup& group : more.all) {
      group.control = true;
      groups.all.push_back(std::move(group));
    }
  } catch (const Error& error) {
    groups.left_out.push_back(message("the control ", word.word, " at ", count, " stages: ", error.what()));
  }
}

}  // namespace

void add_controls(Groups& groups, const RunSettings& base, const std::vector<RuleWord>& rules,
                  const std::vector<std::string>& heads, const std::vector<int>& stages, const FlopsOf& flops_of) {
  std::vector<RuleWord> named;
  for (const RuleWord& word : parse_rules("chunked:2,deep_supervision:0.3"))
    if (std::ranges::find(rules, word.word, &RuleWord::word) == rules.end()) named.push_back(word);
  for (const int count : stages) {
    if (count < 2) {
      groups.left_out.push_back("the controls at 1 stage: there is nothing below or between");
      continue;
    }
    for (const std::string& head : heads) add_deeper(groups, base, head, count, flops_of);
    groups.all.push_back(group_of(base, frozen_lower(count), "none", count));
    for (const std::string& head : heads)
      groups.all.push_back(
          group_of(base, {"global_heads", {"learning.rule=global", "learning.heads=all"}, {}}, head, count));
    for (const RuleWord& word : named) add_named(groups, base, word, heads, count);
  }
}

}  // namespace interlock
