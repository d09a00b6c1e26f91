#pragma once
// Keeps the copies of the final readout that local heads read through ("shared_readout"): every `refresh_every` steps
// the last stage sends its values, and the others begin to use them one such period later. So nobody waits for the
// pipeline, and which values a step uses depends on its number alone: steps n S + 1 .. (n + 1) S use the readout as it
// was after step (n - 1) S (before: its start values).

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "parallel/engine/rank_context.h"

namespace interlock {

class ReadoutCopies {
 public:
  using Copies = std::vector<std::pair<std::string, at::Tensor>>;

  // Every rank; finds out which ranks of its replica hold copies. Error(gave_up) names a stage whose copies are not of
  // what the copies of other stages here are.
  ReadoutCopies(RankContext& context, int64_t refresh_every);
  bool any() const { return !holders_.empty(); }
  bool due_after(int64_t step) const { return any() && step % every_ == 0; }
  // Every rank, between steps, after it has performed step `step`.
  void after_step(int64_t step);
  // Waits until everything sent was received.
  void drain();

  // What a checkpoint holds of them: the values in use, and those that come next (by the readout's names, undefined
  // when there are none). Only on the rank that writes them; empty elsewhere. Waits for values under way.
  struct Values {
    std::string name;
    at::Tensor current, next;
  };
  std::vector<Values> values();
  // The state of a resumed run: a value for each of copied(), in its order and of its shape; `next` may be undefined in
  // all of them. An empty list leaves everything as it is.
  void restore(const std::vector<Values>& values);
  Copies copied()
      const;  // the readout's parameters that are copied here, by name; the same in every stage of this rank

 private:
  MessageHeader header(uint64_t bytes) const;
  uint64_t bytes_of(const Copies& copies) const;
  Buffer pack();
  void install(const Buffer& packed);
  void arrive();

  RankContext& context_;
  int64_t every_;
  std::vector<Copies> copies_;  // per stage of this rank that has some
  std::vector<int> holders_;    // world ranks of this replica with copies
  int source_;                  // world rank of the last stage
  Buffer next_;                 // values to use after the next period; empty: none
  std::unique_ptr<Handle> arriving_;
  std::deque<std::unique_ptr<Handle>> sending_;
};

}  // namespace interlock
