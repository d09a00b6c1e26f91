#pragma once
// What a model of classes says of one sample, as scores judge it.

#include <algorithm>
#include <vector>

#include "runtime/observe/scores.h"

namespace interlock {

// `values`: of each class, the likelier the larger; `truth`: the number of the right one.
inline Guess class_guess(const std::vector<double>& values, double truth) {
  const double own = values.at(static_cast<size_t>(truth));
  return {.guessed = static_cast<double>(std::ranges::max_element(values) - values.begin()),
          .truth = truth,
          .above = static_cast<double>(std::ranges::count_if(values, [&](double other) { return other > own; }))};
}

}  // namespace interlock
