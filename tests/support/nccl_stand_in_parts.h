#pragma once
// What the stand-in's two files share: calls, streams and communicators as they are inside.

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <vector>

#include "tests/support/nccl_stand_in.h"

namespace interlock {

// One call of NCCL's, or one of a group.
struct Part {
  enum class Kind { send, receive, all_reduce, reduce, broadcast, reduce_scatter, all_gather } kind;
  void* data = nullptr;
  size_t count = 0;
  NcclType type = NcclType::bytes;
  int peer = 0;  // or the root
  bool done = false;

  bool is_message() const { return kind == Kind::send || kind == Kind::receive; }
  bool fits(const Part& other) const {
    return kind == other.kind && count == other.count && type == other.type && peer == other.peer;
  }
};

}  // namespace interlock

struct CUevent_st {
  int64_t recorded = 0, passed = 0;
};

namespace interlock {
struct Task {
  enum class Kind { record, wait, work, nccl } kind = Kind::record;
  CUevent_st* event = nullptr;
  int64_t time = 0;  // of the event
  std::function<void()> work{};
  ncclComm* communicator = nullptr;
  std::vector<Part> parts{};
};
}  // namespace interlock

struct CUstream_st {
  std::deque<interlock::Task> tasks;
};

struct ncclComm {
  interlock::NcclStandIn* world = nullptr;
  std::shared_ptr<void> keeps;
  void* shared = nullptr;
  int gpu = 0, position = 0, state = interlock::nccl_in_progress;
  bool ended = false, closing = false;
  std::vector<interlock::Part> pending;  // a call that has not reached its stream
  CUstream_st* stream = nullptr;
};

namespace interlock {

struct NcclStandIn::Shared {
  int size = 0;
  std::vector<ncclComm*> members;
  std::vector<std::vector<bool>> sent, received;  // first calls made: [from][to]
  std::vector<bool> met;                          // first collectives, by member
};

struct NcclStandIn::State {
  Facts facts;
  std::vector<std::unique_ptr<CUstream_st>> streams;  // the first one computes
  bool lost = false, held = false, refuses = false, frozen = false;
};

}  // namespace interlock
