// Placements by name, and the check of any.

#include "parallel/plan/placement.h"

#include <algorithm>
#include <array>

#include "runtime/core/error.h"
#include "runtime/core/nearest_name.h"

namespace interlock {
namespace {

struct NamedPlacement {
  const char* name;
  int (*rank_of)(int stage, int stages, int ranks);
};
constexpr std::array<NamedPlacement, 3> named_placements = {
    {{"contiguous", [](int stage, int stages, int ranks) { return stage / (stages / ranks); }},
     {"interleaved", [](int stage, int, int ranks) { return stage % ranks; }},
     {"v", [](int stage, int, int ranks) {
        const int way = stage % ranks;
        return stage / ranks % 2 == 0 ? way : ranks - 1 - way;
      }}}};

}  // namespace

std::vector<std::string> Placement::names() {
  std::vector<std::string> names;
  for (const NamedPlacement& each : named_placements) names.emplace_back(each.name);
  return names;
}

Placement Placement::named(const std::string& name, int stages, int ranks) {
  const auto found = std::ranges::find(named_placements, name, &NamedPlacement::name);
  if (found == named_placements.end()) throw Error(ExitCode::config, unknown_name("placement", name, names()));
  Placement placement;
  placement.name_ = name;
  if (stages < 1 || ranks < 1 || stages % ranks != 0) return placement;
  placement.rank_of_stage_.reserve(stages);
  for (int stage = 0; stage < stages; ++stage) placement.rank_of_stage_.push_back(found->rank_of(stage, stages, ranks));
  return placement;
}

Placement Placement::by_hand(std::vector<int> rank_of_stage) {
  Placement placement;
  placement.rank_of_stage_ = std::move(rank_of_stage);
  return placement;
}

std::vector<int> Placement::stages_of(int rank) const {
  std::vector<int> own;
  for (size_t stage = 0; stage < rank_of_stage_.size(); ++stage)
    if (rank_of_stage_[stage] == rank) own.push_back(static_cast<int>(stage));
  return own;
}

bool Placement::is_one_each() const {
  for (size_t stage = 0; stage < rank_of_stage_.size(); ++stage)
    if (rank_of_stage_[stage] != static_cast<int>(stage)) return false;
  return true;
}

std::string Placement::text() const {
  if (!is_by_hand()) return name_;
  std::vector<std::string> ranks;
  for (const int rank : rank_of_stage_) ranks.push_back(std::to_string(rank));
  return join(ranks, " ");
}

void Placement::check(int stages, int ranks) const {
  if (static_cast<int>(rank_of_stage_.size()) != stages) {
    throw Error(ExitCode::config, message("parallel.placement has ", rank_of_stage_.size(), " entries for ", stages,
                                          " stages: write the rank of each stage, or one of ", join(names())));
  }
  std::vector<bool> holds(ranks, false);
  for (int stage = 0; stage < stages; ++stage) {
    const int rank = rank_of_stage_[stage];
    if (rank < 0 || rank >= ranks) {
      throw Error(ExitCode::config, message("parallel.placement[", stage, "] = ", rank, ": the ranks are 0 to ",
                                            ranks - 1, " (parallel.ranks = ", ranks, ")"));
    }
    holds[rank] = true;
  }
  const auto without = std::ranges::find(holds, false);
  if (without != holds.end()) {
    throw Error(ExitCode::config,
                message("parallel.placement gives rank ", without - holds.begin(), " no stage: each of the ranks 0 to ",
                        ranks - 1, " (parallel.ranks = ", ranks, ") must hold at least one"));
  }
}

}  // namespace interlock
