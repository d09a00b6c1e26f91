#pragma once
// What is to be predicted of a sample. A dataset makes samples, an objective makes inputs and targets of them, and a
// model has a readout for it. Torch-free.

#include <algorithm>
#include <string>
#include <vector>

#include "runtime/core/config.h"

namespace interlock {

enum class Objective {
  masked,          // tokens in masked places: a target per token
  causal,          // the next token, everywhere: a target per token
  classification,  // a class per sample
  regression,      // a score per sample
};

inline std::string name_of(Objective objective) {
  if (objective == Objective::masked) return "masked";
  if (objective == Objective::causal) return "causal";
  return objective == Objective::classification ? "classification" : "regression";
}

// Whether what is predicted are tokens of the vocabulary, any number in a sample; else a class or a score of each.
inline bool predicts_tokens(Objective objective) {
  return objective == Objective::masked || objective == Objective::causal;
}

// objective.name, one of `possible`; the first when it is not set. "masked_language_model" is masked too.
inline Objective read_objective(const Section& objective, const std::vector<Objective>& possible) {
  std::vector<std::string> names;
  for (const Objective one : possible) names.push_back(name_of(one));
  if (std::ranges::find(possible, Objective::masked) != possible.end()) names.emplace_back("masked_language_model");
  const std::string fallback = possible.front() == Objective::masked ? names.back() : names.front();
  const std::string found = objective.one_of("name", fallback, names);
  for (const Objective one : possible)
    if (name_of(one) == found) return one;
  return Objective::masked;
}

}  // namespace interlock
