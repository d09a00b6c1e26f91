#include "launch/monitor/rank_watch.h"

#include <signal.h>

#include <utility>

#include "runtime/core/blocked_signals.h"
#include "runtime/observe/stack_dump.h"

namespace interlock {
namespace {

constexpr double later = 5;  // seconds: rank 0 has then spoken, if it can

HangLimits limits_of(int rank, HangLimits limits) {
  for (double* seconds :
       {&limits.stall_seconds, &limits.startup_seconds, &limits.evaluation_seconds, &limits.checkpoint_seconds})
    *seconds += later * rank;
  return limits;
}

// Of all ranks of this host that are who they were.
void ask_for_stacks(const std::string& run_folder, const std::vector<WatchedRank>& ranks) {
  forget_stacks(run_folder);
  for (const WatchedRank& rank : ranks)
    if (rank.seen && shares_processes(rank.pulse) && !process_line(rank.pulse).empty())
      kill(static_cast<pid_t>(rank.pulse.pid), SIGUSR2);
}

}  // namespace

RankWatch::RankWatch(std::string run_folder, int ranks, int rank, HangLimits limits)
    : run_folder_(std::move(run_folder)), watch_(run_folder_, ranks, limits_of(rank, limits)) {}

RankWatch::~RankWatch() {
  if (!thread_.joinable()) return;
  {
    std::lock_guard lock(mutex_);
    ends_ = true;
  }
  ending_.notify_one();
  thread_.join();
}

void RankWatch::also_hear(std::function<std::vector<PulseRecord>()> records) {
  const std::lock_guard lock(mutex_);
  heard_ = std::move(records);
}

void RankWatch::begin(std::function<void(const Verdict&, const std::vector<WatchedRank>&)> hangs) {
  hangs_ = std::move(hangs);
  thread_ = std::thread([this] { keep_looking(); });
}

void RankWatch::keep_looking() {
  const BlockedSignals blocked;
  bool stacks_asked = false;
  std::unique_lock lock(mutex_);
  while (!ending_.wait_for(lock, HangWatch::between_looks, [&] { return ends_; })) {
    const auto heard = heard_;
    lock.unlock();
    if (heard) watch_.hear(heard());
    const std::optional<Verdict> verdict = watch_.look();
    if (verdict && stacks_asked) return hangs_(*verdict, watch_.ranks());
    stacks_asked = verdict.has_value();
    if (verdict) ask_for_stacks(run_folder_, watch_.ranks());  // what the ranks answer is here at the next look
    lock.lock();
  }
}

}  // namespace interlock
