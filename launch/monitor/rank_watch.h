#pragma once
// Ranks under a launcher that is not ours (srun, a bare mpirun) have nobody above them that notices a hang. There rank
// 0 watches, beside its own work, and rank 1 a little later, in case it is rank 0 that stands still.

#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

#include "launch/monitor/hang_watch.h"

namespace interlock {

class RankWatch {
 public:
  static bool is_for(int rank, int ranks) { return ranks > 1 && rank < 2; }
  // Before any rank of the run tells anything; the folder need not be there yet.
  RankWatch(std::string run_folder, int ranks, int rank, HangLimits limits);
  ~RankWatch();
  RankWatch(const RankWatch&) = delete;
  // What else tells of ranks, asked by the thread from now on.
  void also_hear(std::function<std::vector<PulseRecord>()> records);
  // From now on; `hangs` is called once at most, from a thread of the watch, and is to end the process.
  void begin(std::function<void(const Verdict&, const std::vector<WatchedRank>&)> hangs);

 private:
  void keep_looking();

  std::string run_folder_;
  HangWatch watch_;
  std::function<std::vector<PulseRecord>()> heard_;
  std::function<void(const Verdict&, const std::vector<WatchedRank>&)> hangs_;
  std::mutex mutex_;
  std::condition_variable ending_;
  bool ends_ = false;
  std::thread thread_;
};

}  // namespace interlock
