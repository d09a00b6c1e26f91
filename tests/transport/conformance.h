#pragma once
// What every transport must do, as one list of tests (conformance*.cpp). Each test program links it with its own
// on_ranks.

#include <cstring>
#include <functional>
#include <memory>
#include <vector>

#include "parallel/transport/group.h"
#include "parallel/transport/transport.h"

namespace interlock::conformance {

inline constexpr int ranks = 4;

// Runs `body` on all ranks, each with its transport, and ends with a barrier. Pieces are piece_bytes long.
void on_ranks(const std::function<void(Transport&)>& body);
inline constexpr uint64_t piece_bytes = 10'000;  // no divisor of the sizes below, so last pieces are short

// A number of its own per test, so that a message left over from one test cannot pass for one of the next.
uint64_t test_run();

inline MessageHeader header(Lane lane, uint64_t bytes, int64_t step = 1, int microbatch = 0) {
  MessageHeader header;
  header.run = test_run();
  header.step = step;
  header.microbatch = microbatch;
  header.lane = lane;
  header.bytes = bytes;
  return header;
}

inline std::byte pattern(uint64_t seed, uint64_t i) {
  return static_cast<std::byte>(((seed + 1) * 0x9E3779B97F4A7C15 + i * 0xD1B54A32D192ED03) >> 56);
}

inline Buffer patterned(uint64_t seed, uint64_t bytes) {
  Buffer buffer = Buffer::allocate(bytes);
  for (uint64_t i = 0; i < bytes; ++i) buffer.data[i] = pattern(seed, i);
  return buffer;
}

inline bool has_pattern(const Buffer& buffer, uint64_t seed, uint64_t bytes) {
  for (uint64_t i = 0; i < bytes; ++i) {
    if (buffer.data[i] != pattern(seed, i)) return false;
  }
  return true;
}

// Of the transport under test: its own, or a group's.
inline std::unique_ptr<Collectives> make_collectives(Transport& transport, const std::vector<int>& members,
                                                     int number) {
  auto own = transport.make_collectives(members, number, test_run());
  return own ? std::move(own) : std::make_unique<Group>(transport, members, number, test_run());
}

inline Group world(Transport& transport, int number = 0) {
  std::vector<int> members;
  for (int rank = 0; rank < transport.size(); ++rank) members.push_back(rank);
  return Group(transport, members, number, test_run());
}

}  // namespace interlock::conformance
