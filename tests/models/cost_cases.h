#pragma once
// Models that tests of costs make of a few lines of [model].

#include <string>

#include "tests/models/support.h"

namespace interlock::tests {

// A comment that makes these lines of [model] those of the model "gpt".
inline const std::string gpt = "#gpt\n";
inline Given of(const std::string& lines, Precision precision = Precision::float32) {
  const bool is_gpt = lines.find(gpt) != std::string::npos;
  return {.name = is_gpt ? "gpt" : "roberta",
          .toml = lines,
          .precision = precision,
          .objective = is_gpt ? Objective::causal : Objective::masked};
}
// Whether norms stand before the halves of its blocks.
inline bool is_pre_norm(const std::string& lines) {
  return lines.find("norm = \"pre\"") != std::string::npos || lines.find(gpt) != std::string::npos;
}

inline Given cut_between(Given given, Unit unit) {
  given.unit = unit;
  return given;
}

}  // namespace interlock::tests
