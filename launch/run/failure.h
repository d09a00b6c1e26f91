#pragma once
// Exceptions that are not ours, turned into an Error for people.

#include <string>

#include "runtime/core/error.h"

namespace interlock {

// To be called while an exception is handled. An Error comes back as it is; anything else becomes one (gave_up) that
// says what went wrong `where` ("in 2F3"; may be empty), without a stack trace.
Error as_error(const std::string& where = "");

}  // namespace interlock
