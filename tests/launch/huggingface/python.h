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

// "" when there is none that can import transformers.
inline const std::string& python_with_transformers() {
  static const std::string found = [] {
    const char* given = std::getenv("INTERLOCK_PYTHON");
    const std::string python = given == nullptr ? "python3" : given;
    const CommandResult result = run_command({python, "-c", "import torch, transformers, tokenizers"}, patient());
    return result.code == 0 ? python : std::string();
  }();
  return found;
}

}  // namespace interlock
