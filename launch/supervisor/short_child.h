#pragma once
// A child process that answers and ends: what may hang is asked there.

#include <chrono>
#include <functional>
#include <string>
#include <vector>

namespace interlock {

struct ChildEnd {
  bool in_time = false;
  int code = -1;       // exit code, or 128 + signal
  std::string output;  // stdout and stderr
};
// Runs `body` in a forked process and kills it, with all of its group, at the deadline. What `body` throws is printed
// as
// "\nanswer: failed: WHY\n".
ChildEnd run_in_child(const std::function<void()>& body, std::chrono::seconds deadline);
// The same with a program, by its path.
ChildEnd run_program(const std::vector<std::string>& words, std::chrono::seconds deadline);

// In a child: a line that answer_in() finds among what libraries print.
void answer(const std::string& text);
std::string answer_in(const std::string& output);

}  // namespace interlock
