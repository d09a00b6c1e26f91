#pragma once
// Watches the ranks of a run that goes on, by what they write into the run folder.

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "launch/monitor/verdict.h"

namespace interlock {

class HangWatch {
 public:
  using Clock = std::chrono::steady_clock;
  // Made before the ranks start: what the folder tells by then is of an earlier process of the run.
  HangWatch(std::string run_folder, int ranks, HangLimits limits);

  // Reads the pulses; to be called about once a second. Time in which nobody called counts as a second: who was stopped
  // together with the ranks must not find that they were slow. Where the ranks cannot tell anything there is no
  // verdict.
  std::optional<Verdict> look(Clock::time_point now = Clock::now());

  // What was heard of ranks in another way; of each the newer counts.
  void hear(const std::vector<PulseRecord>& records) { heard_ = records; }

  // What the ranks have told since the last look, without a verdict: once they have ended.
  void catch_up();

  const std::vector<WatchedRank>& ranks() const { return ranks_; }  // as of the last look
  bool has_begun() const;                                           // rank 0 has made the run folder its own
  int64_t last_step() const;                                        // the furthest that any rank has begun; 0: none
  static constexpr auto between_looks = std::chrono::seconds(1);

 private:
  void look_at_processes();
  bool is_from_before(const PulseRecord& pulse) const;
  void take(const PulseRecord& pulse);

  std::string run_folder_, owner_before_;
  HangLimits limits_;
  std::map<int64_t, uint64_t> before_;  // sessions by rank
  std::vector<WatchedRank> ranks_;
  std::vector<PulseRecord> heard_;
  Clock::time_point last_look_;
};

}  // namespace interlock
