#pragma once
// Exceptions that are not ours, turned into an Error for people.

#include <string>

#include "runtime/core/error.h"

namespace interlock {

// To be called while an exception is handled. An Error comes back as it is; anything else becomes one (gave_up) that
// says what went wrong `where` ("in 2F3"; may be empty), without a stack trace.
Error as_error(const std::string& where = "");

// The last word on an exception that nobody caught on its way, of a process that runs `command`: to be called while it
// is handled. What is ours or tells of no memory is said as as_error() says it; of anything else, the library's own
// text, the file that was read last, and that it is to be reported.
Error last_error(const std::string& command);

}  // namespace interlock
