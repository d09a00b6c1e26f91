#include "launch/monitor/rank_watch.h"

#include <utility>

#include "runtime/core/blocked_signals.h"

namespace interlock {
namespace {

constexpr double later = 5;  // seconds: rank 0 has then spoken, if it can

HangLimits limits_of(int rank, HangLimits limits) {
  for (double* seconds :
       {&limits.stall_seconds, &limits.startup_seconds, &limits.evaluation_seconds, &limits.checkpoint_seconds})
    *seconds += later * rank;
  return limits;
}

}  // namespace

RankWatch::RankWatch(std::string run_folder, int ranks, int rank, HangLimits limits)
    : watch_(std::move(run_folder), ranks, limits_of(rank, limits)) {}

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
  std::unique_lock lock(mutex_);
  while (!ending_.wait_for(lock, HangWatch::between_looks, [&] { return ends_; })) {
    const auto heard = heard_;
    lock.unlock();
    if (heard) watch_.hear(heard());
    const std::optional<Verdict> verdict = watch_.look();
    if (verdict) return hangs_(*verdict, watch_.ranks());
    lock.lock();
  }
}

}  // namespace interlock
