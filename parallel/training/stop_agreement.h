#pragma once
// How all ranks come to stop after the same step when only rank 0 knows that they should. Rank 0 decides after each of
// its steps s whether the run stops after step s + lead, and tells the others; a rank looks at that decision when it
// has done step s + lead. As rank 0 holds the first stage it is never behind, so the answer is there before it is
// needed, and no rank can have gone on past a step that another stopped at.

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "parallel/transport/transport.h"

namespace interlock {

class StopAgreement {
 public:
  static constexpr int64_t lead = 2;  // steps
  // `wanted` is asked on rank 0 only. The first step of this run is `first`.
  StopAgreement(Transport& transport, uint64_t run, int64_t first, std::function<bool()> wanted);
  // Every rank, after it has performed `step`: does the run stop here?
  bool stops_after(int64_t step);
  // Every rank, after stops_after(step), where no step follows for another reason: nobody looks at decisions any more,
  // and what others have asked for is answered, so that the same ranks may begin another agreement.
  void close(int64_t step);
  // After the last step of every rank: waits until the others have taken what they were told.
  void drain();

 private:
  MessageHeader header(int64_t decided_after) const;
  void post();

  Transport& transport_;
  uint64_t run_;
  std::function<bool()> wanted_;
  int64_t first_;
  int64_t stop_at_ = -1;  // rank 0: decided
  std::map<int64_t, std::vector<std::unique_ptr<Handle>>> sending_;
  struct Incoming {
    Buffer answer;
    std::unique_ptr<Handle> handle;
  };
  std::deque<Incoming> incoming_;  // of the next steps that rank 0 decides after, in order
  int64_t posted_;
};

}  // namespace interlock
