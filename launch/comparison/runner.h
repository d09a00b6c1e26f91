#pragma once
// Performs arms one after another, and tells a person how far they are.

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "launch/comparison/arms.h"
#include "launch/terminal/interruption.h"

namespace interlock {

class ArmRunner {
 public:
  // `file` is the config of all arms; `steps` are those that all arms to come have together, for the time left.
  ArmRunner(std::string file, int64_t arms, int64_t steps);
  ~ArmRunner();
  ArmRunner(const ArmRunner&) = delete;

  // Performs the arm unless its folder holds it already; how it ended. One that failed before is tried again. What
  // ended it half way goes on from its newest checkpoint. Error(cannot_write) when the disk is full, which would end
  // every other arm too; Interrupted after Ctrl-C, with the arm's checkpoint written.
  ArmStatus perform(const Arm& arm);
  // Seconds from start to end of the arms that were performed here, and their steps.
  double seconds_per_step() const;

 private:
  ArmStatus run(const Arm& arm);
  void show(const Arm& arm);
  void line(const std::string& text);  // a line that stays

  std::string file_;
  int64_t arms_, steps_;
  int64_t arm_ = 0, steps_done_ = 0, steps_performed_ = 0;
  double seconds_ = 0;
  bool terminal_, drawn_ = false;
  std::chrono::steady_clock::time_point arm_start_;
  Interruption interruption_;
};

}  // namespace interlock
