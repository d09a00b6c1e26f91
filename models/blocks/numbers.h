#pragma once
// The types of a precision's numbers. An operation computes in the type of what it is given: a linear layer takes a
// copy of its weights in that type (parameter_access.h), norms and softmax widen inside.

#include <c10/core/ScalarType.h>

#include <cstdint>

#include "models/precision.h"

namespace interlock {

struct Numbers {
  at::ScalarType parameters = at::kFloat;
  at::ScalarType hidden = at::kFloat;  // what passes between operations and blocks

  int64_t parameter_bytes() const { return static_cast<int64_t>(c10::elementSize(parameters)); }
  int64_t hidden_bytes() const { return static_cast<int64_t>(c10::elementSize(hidden)); }
  // Of the copy of each number of a weight that products take; 0 where they take the weight itself.
  int64_t copy_bytes() const { return parameters == hidden ? 0 : hidden_bytes(); }
};

inline Numbers numbers_of(Precision precision) {
  if (precision == Precision::float64) return {at::kDouble, at::kDouble};
  if (precision == Precision::bf16) return {at::kFloat, at::kBFloat16};
  return {};
}

}  // namespace interlock
