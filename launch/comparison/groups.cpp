#include "launch/comparison/groups.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <set>
#include <sstream>

#include "runtime/core/error.h"
#include "runtime/core/nearest_name.h"

namespace interlock {
namespace {

[[noreturn]] void refuse(const std::string& sentence) { throw Error(ExitCode::usage, sentence); }

std::vector<std::string> split(const std::string& text, char by) {
  std::vector<std::string> parts;
  std::istringstream in(text);
  for (std::string part; std::getline(in, part, by);) parts.push_back(part);
  return parts;
}

template <class Number>
std::optional<Number> number_in(const std::string& text) {
  Number value{};
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (problem != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// The key that the number behind a rule's name stands for; a rule without one takes none.
const std::map<std::string, std::string>& keys_of_rules() {
  static const std::map<std::string, std::string> keys = {{"local", ""},           {"global", ""},
                                                          {"furthest", "horizon"}, {"sum", "horizon"},
                                                          {"chunked", "window"},   {"deep_supervision", "weight"}};
  return keys;
}

RuleWord parse_rule(const std::string& word) {
  const size_t colon = word.find(':');
  const std::string name = word.substr(0, colon), number = colon == std::string::npos ? "" : word.substr(colon + 1);
  const auto key = keys_of_rules().find(name);
  if (key == keys_of_rules().end()) {
    std::vector<std::string> known;
    for (const auto& [rule, its_key] : keys_of_rules()) known.push_back(its_key.empty() ? rule : rule + ":N");
    refuse("--rules: " + unknown_name("rule", word, known));
  }
  RuleWord rule{word, {"learning.rule=" + name}, {}};
  rule.request.rule = name;
  if (key->second.empty()) {
    if (colon != std::string::npos) refuse(message("--rules: ", word, ": the rule ", name, " takes no number"));
    return rule;
  }
  if (number.empty())
    refuse(message("--rules: ", word, " needs a number, its learning.", key->second, ": ", name, ":2"));
  const auto whole = number_in<int>(number);
  const auto real = number_in<double>(number);
  if (key->second == "weight" ? !real : !whole)
    refuse(message("--rules: ", word, ": ", number, " is no number for learning.", key->second));
  rule.overrides.push_back(message("learning.", key->second, "=", number));
  if (key->second == "horizon") rule.request.horizon = *whole;
  if (key->second == "window") rule.request.window = *whole;
  if (key->second == "weight") rule.request.weight = *real;
  return rule;
}

std::string safe(std::string name) {
  std::ranges::replace(name, ':', '-');
  return name;
}

bool needs_heads(const LearningRule& rule) {
  const Flows flows = derive_flows(rule, HeadPolicy::needed);
  return std::any_of(flows.stages.begin(), std::prev(flows.stages.end()),
                     [](const StageFlow& flow) { return flow.has_loss; });
}

}  // namespace

std::vector<std::string> parse_words(const std::string& words, const std::string& option) {
  std::vector<std::string> all = split(words, ',');
  std::set<std::string> seen;
  for (const std::string& word : all) {
    if (word.empty()) refuse(option + ": an empty word in \"" + words + "\"");
    if (!seen.insert(word).second) refuse(message(option, ": ", word, " stands twice"));
  }
  if (all.empty()) refuse(option + ": nothing is given");
  return all;
}

std::vector<RuleWord> parse_rules(const std::string& words) {
  std::vector<RuleWord> rules;
  for (const std::string& word : parse_words(words, "--rules")) rules.push_back(parse_rule(word));
  return rules;
}

std::vector<int> parse_numbers(const std::string& words, const std::string& option) {
  std::vector<int> numbers;
  for (const std::string& word : parse_words(words, option)) {
    const auto number = number_in<int>(word);
    if (!number || *number < 1) refuse(message(option, ": ", word, " is no number from 1 on"));
    numbers.push_back(*number);
  }
  return numbers;
}

std::vector<double> parse_speeds(const std::string& words, const std::string& option) {
  std::vector<double> speeds;
  for (const std::string& word : parse_words(words, option)) {
    const auto speed = number_in<double>(word);
    if (!speed || !std::isfinite(*speed) || *speed <= 0) refuse(message(option, ": ", word, " is no speed above 0"));
    speeds.push_back(*speed);
  }
  return speeds;
}

int ranks_for(const RunSettings& base, int stages) {
  const PlanShape& shape = base.parallel.shape;
  return shape.ranks == shape.stages ? stages : shape.ranks;
}

std::string RuleGroup::name() const { return message(safe(rule.word), "_", head, "_", stages, "-stages"); }

std::string RuleGroup::label() const { return head == "none" ? rule.word : rule.word + " " + head; }

Groups make_groups(const RunSettings& base, const std::vector<RuleWord>& rules, const std::vector<std::string>& heads,
                   const std::vector<int>& stages) {
  Groups groups;
  std::map<std::string, std::string> unfit;  // of words that fit no number of stages: why
  for (const RuleWord& word : rules) unfit[word.word];
  for (const int count : stages)
    for (const RuleWord& word : rules) {
      RuleRequest request = word.request;
      request.frozen = base.learning.rules.front().request.frozen;
      LearningRule rule;
      try {
        rule = make_rule(request, count);
      } catch (const Error& error) {
        groups.left_out.push_back(message(word.word, " at ", count, " stages: ", error.what()));
        if (const auto found = unfit.find(word.word); found != unfit.end()) found->second = error.what();
        continue;
      }
      unfit.erase(word.word);
      const bool all_heads = base.learning.heads == HeadPolicy::all;
      const bool headed = count > 1 && (all_heads || needs_heads(rule));
      for (const std::string& head : headed ? heads : std::vector<std::string>{"none"}) {
        RuleGroup group{word, head, count, word.overrides};
        if (headed) group.overrides.push_back("learning.head=" + head);
        group.overrides.push_back(message("parallel.stages=", count));
        group.overrides.push_back(message("parallel.ranks=", ranks_for(base, count)));
        groups.all.push_back(std::move(group));
      }
    }
  for (const auto& [word, why] : unfit) throw Error(ExitCode::config, message("--rules: ", word, ": ", why));
  return groups;
}

}  // namespace interlock
