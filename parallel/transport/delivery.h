#pragma once
// What every transport does alike when a message meets its receive: compare the headers, and count. Internal to this
// room.

#include <string>

#include "parallel/transport/transport.h"
#include "runtime/core/error.h"

namespace interlock {

// Whether `came` is what the receiver `expected`. A receive of any size gives lane, run and step only.
inline bool is_expected(const MessageHeader& came, const MessageHeader& expected, bool any_size) {
  if (!any_size) return came == expected;
  return came.lane == expected.lane && came.run == expected.run && came.step == expected.step;
}

inline std::string mismatch_text(int rank, int from, const MessageHeader& came, const MessageHeader& expected) {
  return message("rank ", rank, " received another message from rank ", from, " than it expected",
                 "\n  expected: ", describe(expected), "\n  received: ", describe(came),
                 "\n  do all ranks run the same program with the same config?");
}

inline bool is_pipeline_message(const MessageHeader& header) {
  return header.lane.kind == MessageKind::activation || header.lane.kind == MessageKind::gradient;
}

inline void count_sent(TransportCounters& counters, const MessageHeader& header) {
  const bool pipeline = is_pipeline_message(header);
  ++(pipeline ? counters.messages_sent : counters.other_messages_sent);
  (pipeline ? counters.bytes_sent : counters.other_bytes_sent) += header.bytes;
}

inline void count_received(TransportCounters& counters, const MessageHeader& header) {
  counters.messages_received += is_pipeline_message(header);
}

}  // namespace interlock
