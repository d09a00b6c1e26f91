// Builds learning rules: the named ones as matrices, and any matrix as it is given, each checked before it is handed
// out.

#include "parallel/plan/learning_rule.h"

#include <algorithm>
#include <cassert>
#include <charconv>
#include <cmath>

#include "runtime/core/error.h"
#include "runtime/core/nearest_name.h"

namespace interlock {
namespace {

// A sentence begins with the key that it is about, so that who knows the config can say where that stands.
[[noreturn]] void refuse(const std::string& sentence) { throw Error(ExitCode::config, sentence); }

std::string shortest(double value) {
  char digits[32];
  return {digits, std::to_chars(digits, digits + sizeof digits, value).ptr};
}

void check_span(const std::string& rule, const std::string& key, int value, int stages) {
  if (value >= 1 && value <= stages) return;
  const std::string same_as = rule == "sum" ? "every later loss" : "global learning";
  refuse(message("learning.", key, " = ", value, " does not fit a network of ", stages, " stage",
                 stages == 1 ? "" : "s", ": \"", rule, "\" takes 1 to ", stages, "; the largest that makes sense is ",
                 stages, " (", same_as, ")"));
}

Matrix zeros(int stages) { return Matrix(stages, std::vector<double>(stages, 0.0)); }

// Every stage learns from the one loss `target(stage)`.
template <class Target>
Matrix one_loss_each(int stages, Target target) {
  Matrix weights = zeros(stages);
  for (int stage = 0; stage < stages; ++stage) weights[stage][target(stage)] = 1.0;
  return weights;
}

Matrix band(int stages, int horizon) {
  Matrix weights = zeros(stages);
  for (int stage = 0; stage < stages; ++stage) {
    for (int loss = stage; loss < std::min(stage + horizon, stages); ++loss) weights[stage][loss] = 1.0;
  }
  return weights;
}

Matrix deep_supervision(int stages, double weight) {
  Matrix weights = zeros(stages);
  for (int stage = 0; stage < stages; ++stage) {
    for (int loss = stage; loss < stages - 1; ++loss) weights[stage][loss] = weight;
    weights[stage][stages - 1] = 1.0;
  }
  return weights;
}

void check_matrix(const Matrix& weights, int stages) {
  if (static_cast<int>(weights.size()) != stages) {
    refuse(message("learning.matrix has ", weights.size(), " rows, but there are ", stages,
                   " stages: give one row per stage, one column per loss"));
  }
  for (int stage = 0; stage < stages; ++stage) {
    const std::vector<double>& row = weights[stage];
    if (static_cast<int>(row.size()) != stages) {
      refuse(message("learning.matrix[", stage, "] has ", row.size(), " numbers, but there are ", stages, " losses"));
    }
    for (int loss = 0; loss < stages; ++loss) {
      if (!std::isfinite(row[loss]) || row[loss] < 0) {
        refuse(message("learning.matrix[", stage, "][", loss, "] = ", row[loss],
                       ": a weight must be a number of at least 0"));
      }
      if (loss < stage && row[loss] != 0) {
        refuse(message("learning.matrix is not upper triangular: stage ", stage, " cannot learn from loss ", loss,
                       ", which is computed before it (weight ", row[loss], ")"));
      }
    }
  }
}

bool learns_from_nothing(const std::vector<double>& row) {
  return std::all_of(row.begin(), row.end(), [](double weight) { return weight == 0; });
}

std::vector<int> check_frozen(std::vector<int> frozen, int stages) {
  std::sort(frozen.begin(), frozen.end());
  frozen.erase(std::unique(frozen.begin(), frozen.end()), frozen.end());
  for (int stage : frozen) {
    if (stage < 0 || stage >= stages) {
      refuse(message("learning.frozen names stage ", stage, ", but the stages are 0 to ", stages - 1));
    }
  }
  return frozen;
}

void add_untrained(const std::vector<int>& untrained, LearningRule& rule) {
  for (const int stage : untrained) {
    assert(stage >= 0 && stage < rule.stages());
    std::fill(rule.weights[stage].begin(), rule.weights[stage].end(), 0.0);
    rule.frozen.push_back(stage);
  }
  std::sort(rule.frozen.begin(), rule.frozen.end());
  rule.frozen.erase(std::unique(rule.frozen.begin(), rule.frozen.end()), rule.frozen.end());
}

Matrix named_matrix(const RuleRequest& request, int stages) {
  const std::string& rule = request.rule;
  const int last = stages - 1;
  if (rule == "local") return one_loss_each(stages, [](int stage) { return stage; });
  if (rule == "global") return one_loss_each(stages, [&](int) { return last; });
  if (rule == "furthest") {
    check_span(rule, "horizon", request.horizon, stages);
    return one_loss_each(stages, [&](int stage) { return std::min(stage + request.horizon - 1, last); });
  }
  if (rule == "sum") {
    check_span(rule, "horizon", request.horizon, stages);
    return band(stages, request.horizon);
  }
  if (rule == "chunked") {
    check_span(rule, "window", request.window, stages);
    const int window = request.window;
    return one_loss_each(stages, [&](int stage) { return std::min(stage / window * window + window - 1, last); });
  }
  if (rule == "deep_supervision") {
    if (!std::isfinite(request.weight) || request.weight < 0) {
      refuse(message("learning.weight = ", request.weight,
                     ": the weight of the auxiliary losses must be a number of at least 0"));
    }
    return deep_supervision(stages, request.weight);
  }
  if (rule == "matrix") return request.matrix;
  refuse(unknown_name("learning rule", rule, rule_names()));
}

std::string full_name(const RuleRequest& request) {
  if (request.rule == "furthest" || request.rule == "sum") return message(request.rule, "(", request.horizon, ")");
  if (request.rule == "chunked") return message("chunked(", request.window, ")");
  if (request.rule == "deep_supervision") return message("deep_supervision(", shortest(request.weight), ")");
  return request.rule;
}

}  // namespace

std::vector<std::string> rule_names() {
  return {"chunked", "deep_supervision", "furthest", "global", "local", "matrix", "sum"};
}

LearningRule make_rule(const RuleRequest& request, int stages) {
  if (stages < 1) refuse(message("a network needs at least 1 stage, not ", stages));
  LearningRule rule;
  rule.weights = named_matrix(request, stages);
  rule.name = full_name(request);
  rule.frozen = check_frozen(request.frozen, stages);
  check_matrix(rule.weights, stages);
  for (int stage : rule.frozen) {
    if (request.rule != "matrix") std::fill(rule.weights[stage].begin(), rule.weights[stage].end(), 0.0);
    if (!learns_from_nothing(rule.weights[stage])) {
      refuse(message("learning.frozen names stage ", stage, ", but learning.matrix[", stage,
                     "] gives it a weight: clear that row, or take the stage out of learning.frozen"));
    }
  }
  add_untrained(request.untrained, rule);
  for (int stage = 0; stage < stages; ++stage) {
    const bool frozen = std::binary_search(rule.frozen.begin(), rule.frozen.end(), stage);
    if (!frozen && learns_from_nothing(rule.weights[stage])) {
      refuse(message("learning.matrix[", stage, "] is all zero: stage ", stage,
                     " learns from nothing. Give it a weight, or name the stage in learning.frozen"));
    }
  }
  return rule;
}

}  // namespace interlock
