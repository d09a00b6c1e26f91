#include "launch/comparison/controls.h"

#include <algorithm>

#include "runtime/core/error.h"
#include "runtime/core/nearest_name.h"

namespace interlock {
namespace {

RuleWord frozen_lower(int stages) {
  std::vector<std::string> lower;
  for (int stage = 0; stage < stages / 2; ++stage) lower.push_back(std::to_string(stage));
  return {"frozen_lower", {"learning.rule=global", "learning.frozen=[" + join(lower) + "]"}, {}};
}

void add(Groups& groups, const RunSettings& base, const RuleWord& word, const std::string& head, int stages) {
  RuleGroup group{word, head, stages, word.overrides};
  if (head != "none") group.overrides.push_back("learning.head=" + head);
  group.overrides.push_back(message("parallel.stages=", stages));
  group.overrides.push_back(message("parallel.ranks=", ranks_for(base, stages)));
  groups.all.push_back(std::move(group));
}

}  // namespace

void add_controls(Groups& groups, const RunSettings& base, const std::vector<RuleWord>& rules,
                  const std::vector<std::string>& heads, const std::vector<int>& stages) {
  std::vector<RuleWord> named;
  for (const RuleWord& word : parse_rules("chunked:2,deep_supervision:0.3"))
    if (std::ranges::find(rules, word.word, &RuleWord::word) == rules.end()) named.push_back(word);
  for (const int count : stages) {
    if (count < 2) {
      groups.left_out.push_back("the controls at 1 stage: there is nothing below or between");
      continue;
    }
    add(groups, base, frozen_lower(count), "none", count);
    for (const std::string& head : heads)
      add(groups, base, {"global_heads", {"learning.rule=global", "learning.heads=all"}, {}}, head, count);
    if (named.empty()) continue;
    Groups more = make_groups(base, named, heads, {count});
    groups.all.insert(groups.all.end(), more.all.begin(), more.all.end());
    groups.left_out.insert(groups.left_out.end(), more.left_out.begin(), more.left_out.end());
  }
}

}  // namespace interlock
