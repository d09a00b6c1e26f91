#pragma once
// Performs arms, one after another or several at once, and tells a person how far they are.

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "launch/comparison/arm_process.h"
#include "launch/comparison/arms.h"
#include "launch/terminal/interruption.h"

namespace interlock {

class ArmRunner {
 public:
  // `file` is the config of all arms; `arms` and `steps` are those to come, for the time left; of several that are
  // asked for together `at_once` run at a time.
  ArmRunner(std::string file, int64_t arms, int64_t steps, int at_once);
  ~ArmRunner();
  ArmRunner(const ArmRunner&) = delete;

  // Performs the arms that their folders do not hold already; how each ended, in their order. One that failed before is
  // tried again. What ended one half way goes on from its newest checkpoint. Error(cannot_write) when the disk is full,
  // which would end every other arm too; Interrupted after Ctrl-C, with the checkpoints of all that ran written.
  // `when_done` is called for each that was performed now and is done while no other runs: before the next one starts,
  // of several at a time after the last. What it does may be long: it is to call `still` now and then, which throws
  // Interrupted as above.
  using WhenDone = std::function<void(const Arm& arm, const std::function<void()>& still)>;
  std::vector<ArmStatus> perform(const std::vector<Arm>& arms, const WhenDone& when_done = {});
  // One, with nothing beside it.
  ArmStatus perform(const Arm& arm);

 private:
  using Clock = std::chrono::steady_clock;
  struct Running {
    size_t index;              // among the arms asked for
    int64_t number;            // among all
    std::vector<size_t> gpus;  // of those that are shared out; none: all, or there is no more than one
    Clock::time_point start;
    double machine_cpu;  // seconds, at the start
    std::unique_ptr<ArmProcess> process;
  };

  std::unique_ptr<ArmProcess> start(const Arm& arm, const std::vector<size_t>& gpus) const;
  std::vector<size_t> free_gpus(const Arm& arm) const;
  void start_more(const std::vector<Arm>& arms, size_t at_a_time, size_t& next, std::vector<ArmStatus>& statuses);
  std::vector<size_t> take_ended(const std::vector<Arm>& arms, size_t at_a_time, std::vector<ArmStatus>& statuses);
  ArmStatus ended(const Arm& arm, const ProcessEnd& end) const;
  void count(const Arm& arm, int64_t number, ArmStatus status, const std::string& took);
  void show(const std::vector<Arm>& arms);
  void line(const std::string& text);  // a line that stays
  void stop_all();

  std::string file_;
  int64_t arms_, steps_;
  size_t at_once_;
  std::vector<std::string> gpus_;  // that arms at a time are shared out over
  int64_t arm_ = 0, ended_ = 0, steps_done_ = 0, steps_performed_ = 0;
  double seconds_ = 0;  // in which arms ran
  bool terminal_, drawn_ = false;
  Clock::time_point began_;  // those that are performed now
  std::vector<Running> running_;
  Interruption interruption_;
};

}  // namespace interlock
