#pragma once
// A failure that all ranks of a run have come to know, and throw alike: nobody waits for anybody, so they end in order
// and one says it.

#include "runtime/core/error.h"

namespace interlock {

class CommonError : public Error {
 public:
  explicit CommonError(const Error& error) : Error(error) {}
};

}  // namespace interlock
