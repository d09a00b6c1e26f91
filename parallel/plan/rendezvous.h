#pragma once
// Performs a plan's order without any work: every send blocks until its receive is posted, every compute action until
// what it works on is there, REDUCE_NORM until all ranks have come to it. It shows that a plan runs to its end, or
// where each rank stands and what for. Everything that blocks here may block in a real run, so what ends here ends
// there; and as a run leaves nothing open behind it, the next step starts as this one did.

#include <string>
#include <vector>

#include "parallel/plan/passes.h"

namespace interlock {

// Stage, microbatch and stream exist and fit the kind.
bool is_well_formed(const Plan& plan, const Action& action);

class Rendezvous {
 public:
  // Rank `stop_rank` goes no further than `stop_index` (-1: to its end).
  explicit Rendezvous(const Plan& plan, int stop_rank = -1, int64_t stop_index = -1);
  void run();

  bool finished(int rank) const { return position(rank) == static_cast<int64_t>(plan_.ranks[rank].size()); }
  int64_t position(int rank) const { return states_[rank].position; }
  // Of a rank that stands still: the rank it waits for, -1 when it waits for none; and in words what for.
  int waits_for(int rank) const;
  std::string reason(int rank) const;

 private:
  // An action that ends when every rank that takes part has come to it.
  struct Meeting {
    std::vector<bool> present;  // per rank; those that take no part count as present
    int missing = 0;
  };
  struct RankState {
    int64_t position = 0;
    int waits_for = -1;
    int64_t value = -1;              // the value it waits for, when it waits for one
    const Meeting* meets = nullptr;  // where it waits for others
  };

  void go_on(int rank);
  bool perform(int rank, const Action& action);
  bool has_what_it_needs(int rank, const Action& action);
  Meeting& meeting(Kind kind);
  bool meet(int rank, Kind kind);
  void wake(int rank, int64_t value);
  int64_t value_of(const Need& need, int microbatch) const { return values_.at(need.stage, need.part, microbatch); }

  const Plan& plan_;
  int stop_rank_;
  int64_t stop_index_;
  Values values_;
  const std::vector<int>& rank_of_;
  std::vector<uint8_t> marks_;  // per value
  std::vector<RankState> states_;
  std::vector<int> awake_;
  Meeting norm_, tied_;
};

}  // namespace interlock
