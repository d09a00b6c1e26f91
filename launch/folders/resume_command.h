#pragma once
// The command that goes on with a run, whole, as a person pastes it.

#include <string>

namespace interlock {

inline std::string resume_command(const std::string& run_folder) {
  static constexpr const char* plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./+@%,:=-";
  std::string word = run_folder;
  if (word.find_first_not_of(plain) != std::string::npos) {
    word = "'";
    for (const char c : run_folder) word += c == '\'' ? std::string("'\\''") : std::string(1, c);
    word += "'";
  } else if (word.starts_with("-")) {
    word = "./" + word;
  }
  return "interlock train " + word + " --resume";
}

}  // namespace interlock
