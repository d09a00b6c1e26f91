#pragma once
// The Python that tests ask what transformers say.

#include <cstdlib>
#include <string>

#include "tests/support/command_line.h"

namespace interlock {

// A Python that imports torch takes its time on a busy machine.
inline CommandOptions patient() {
  CommandOptions options;
  options.seconds = 120;
  return options;
}

// "" when there is none that can import these.
inline std::string python_with(const std::string& modules) {
  const char* given = std::getenv("INTERLOCK_PYTHON");
  const std::string python = given == nullptr ? "python3" : given;
  return run_command({python, "-c", "import " + modules}, patient()).code == 0 ? python : std::string();
}

inline const std::string& python_with_transformers() {
  static const std::string found = python_with("torch, transformers, tokenizers");
  return found;
}

}  // namespace interlock
