#pragma once
// Messages that only one side knows of, from the last actions of ranks.

#include <cstdint>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "runtime/observe/pulse.h"

namespace interlock {

// One side of a message between two stages, as the action of a plan names it: "1SEND_F3", "2RECV_F3", "2SEND_B3@4+5".
struct OpenMessage {
  int64_t rank = 0;    // that has sent it, or waits for it
  int64_t step = 0;    // of the action
  std::string action;  // its text
  bool sent = false;   // nobody asks for it; else it is asked for, and nobody has sent it
};

// By rank. What a rank has forgotten (it remembers PulseRecord::remembered actions) may have been the other side, and
// is not told; nor is what one of the `silent` ranks may have done after it told something for the last time.
std::vector<OpenMessage> open_messages(std::span<const PulseRecord> ranks, const std::set<int64_t>& silent = {});

// "rank 1 has sent 1SEND_F3 (step 7), and nobody asks for it"
std::string text_of(const OpenMessage& open);

}  // namespace interlock
