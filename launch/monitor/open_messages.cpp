#include "launch/monitor/open_messages.h"

#include <charconv>
#include <map>
#include <optional>
#include <tuple>

#include "runtime/core/error.h"

namespace interlock {
namespace {

// What both sides of a message know of it.
struct Message {
  int64_t step = 0;
  bool forward = false;
  int stage = 0;           // that sends it
  std::string_view which;  // microbatch and losses: "3@4+5"
  auto operator<=>(const Message&) const = default;
};

struct Side {
  Message message;
  bool sends = false;
  int other_stage = 0;
};

std::optional<Side> side_of(std::string_view action, int64_t step) {
  int stage = 0;
  const auto [rest, problem] = std::from_chars(action.data(), action.data() + action.size(), stage);
  if (problem != std::errc() || stage < 0) return std::nullopt;
  action.remove_prefix(static_cast<size_t>(rest - action.data()));
  for (const auto& [word, sends, forward] : {std::tuple<std::string_view, bool, bool>{"SEND_F", true, true},
                                             {"RECV_F", false, true},
                                             {"SEND_B", true, false},
                                             {"RECV_B", false, false}}) {
    if (!action.starts_with(word)) continue;
    const int other = forward == sends ? stage + 1 : stage - 1;
    return Side{{step, forward, sends ? stage : other, action.substr(word.size())}, sends, other};
  }
  return std::nullopt;
}

// Whether a rank remembers all that it did in a step.
bool remembers(const PulseRecord& rank, int64_t step) {
  if (rank.actions <= static_cast<int64_t>(PulseRecord::remembered)) return true;
  return rank.last_actions(PulseRecord::remembered).front().step < step;
}

class Ledger {
 public:
  Ledger(std::span<const PulseRecord> ranks, const std::set<int64_t>& silent) : ranks_(ranks), silent_(silent) {
    histories_.reserve(ranks.size());  // texts below point into it
    for (const PulseRecord& rank : ranks) {
      histories_.push_back(rank.last_actions(PulseRecord::remembered));
      for (const PulseRecord::Action& action : histories_.back()) note(rank, action);
    }
  }
  std::vector<OpenMessage> open() const;

 private:
  struct Entry {
    Side side;
    const PulseRecord* rank;
    const char* action;
  };
  void note(const PulseRecord& rank, const PulseRecord::Action& action);
  bool other_side_remembers(const Entry& entry) const;

  std::span<const PulseRecord> ranks_;
  const std::set<int64_t>& silent_;
  std::vector<std::vector<PulseRecord::Action>> histories_;
  std::vector<Entry> entries_;                      // in the order of ranks
  std::map<Message, int64_t> balance_;              // sent less asked for, over replicas
  std::multimap<int, const PulseRecord*> holders_;  // of stages
};

void Ledger::note(const PulseRecord& rank, const PulseRecord::Action& action) {
  int stage = 0;
  const std::string_view text = action.text;
  if (std::from_chars(text.data(), text.data() + text.size(), stage).ec == std::errc()) {
    const auto [begin, end] = holders_.equal_range(stage);
    bool known = false;
    for (auto holder = begin; holder != end; ++holder) known |= holder->second == &rank;
    if (!known) holders_.emplace(stage, &rank);
  }
  const auto side = side_of(text, action.step);
  if (!side) return;
  balance_[side->message] += side->sends ? 1 : -1;
  entries_.push_back({*side, &rank, action.text});
}

bool Ledger::other_side_remembers(const Entry& entry) const {
  const auto [begin, end] = holders_.equal_range(entry.side.other_stage);
  for (auto holder = begin; holder != end; ++holder) {
    const PulseRecord& other = *holder->second;
    const bool may_have_gone_on = silent_.contains(other.rank) && entry.side.message.step >= other.step;
    if (may_have_gone_on || !remembers(other, entry.side.message.step)) return false;
  }
  return begin != end;
}

std::vector<OpenMessage> Ledger::open() const {
  std::vector<OpenMessage> found;
  for (const Entry& entry : entries_) {
    const int64_t balance = balance_.at(entry.side.message);
    if (balance == 0 || (balance > 0) != entry.side.sends || !other_side_remembers(entry)) continue;
    found.push_back({entry.rank->rank, entry.side.message.step, entry.action, entry.side.sends});
  }
  return found;
}

}  // namespace

std::vector<OpenMessage> open_messages(std::span<const PulseRecord> ranks, const std::set<int64_t>& silent) {
  return Ledger(ranks, silent).open();
}

std::string text_of(const OpenMessage& open) {
  return message("rank ", open.rank, open.sent ? " has sent " : " asks for ", open.action, " (step ", open.step, "), ",
                 open.sent ? "and nobody asks for it" : "and nobody has sent it");
}

}  // namespace interlock
