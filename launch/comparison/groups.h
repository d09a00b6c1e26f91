#pragma once
// What is compared: groups of runs that differ in their seeds only, as the words of the command line ask for them.

#include <string>
#include <vector>

#include "launch/settings/run_settings.h"

namespace interlock {

// "sum:2" as a person writes it, and the keys of a config that it stands for.
struct RuleWord {
  std::string word;
  std::vector<std::string> overrides;
  RuleRequest request;
};
// "local,sum:2,global". Error(usage) names the word: an unknown rule, a number that is missing, too much or none.
std::vector<RuleWord> parse_rules(const std::string& words);
std::vector<std::string> parse_words(const std::string& words, const std::string& option);  // "linear,block"
std::vector<double> parse_speeds(const std::string& words, const std::string& option);      // above 0, "1e8"
std::vector<int> parse_numbers(const std::string& words, const std::string& option);        // "2,4,8", each from 1 on

// Where no stage but the last has a head, the kind of head says nothing: then `head` is "none", and there is one group
// for all kinds.
struct RuleGroup {
  RuleWord rule;
  std::string head;
  int stages = 0;
  std::vector<std::string> overrides;  // of the base config
  bool control = false;                // stands beside the rules, and is never told as one of them
  std::string name() const;            // "sum-2_linear_4-stages": names folders
  std::string label() const;           // "sum:2 linear": names rows; stages stand beside it
  bool is_global() const { return rule.word == "global"; }
};

struct Groups {
  std::vector<RuleGroup> all;
  std::vector<std::string> left_out;  // sentences: rules that have no meaning at a number of stages
};

// As many ranks as stages where the config has that, else the config's.
int ranks_for(const RunSettings& base, int stages);

// `base` are the settings of the config, for its defaults. Error(config) where nothing is left.
Groups make_groups(const RunSettings& base, const std::vector<RuleWord>& rules, const std::vector<std::string>& heads,
                   const std::vector<int>& stages);

}  // namespace interlock
