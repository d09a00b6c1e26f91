#pragma once
// What travels between ranks, torch-free: a header that says what the bytes are, and the bytes.

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

namespace interlock {

enum class MessageKind : uint8_t { activation, gradient, collective, report, weights };

// A lane is one ordered stream of messages between two ranks: messages of a lane arrive in the order they were sent,
// and lanes do not wait for each other. (boundary, kind, stream) name it; `stream` is the index in the boundary's
// stream table.
struct Lane {
  MessageKind kind = MessageKind::activation;
  int32_t boundary = 0;  // the stage below it, or the group's number for collectives
  int32_t stream = 0;
  friend bool operator==(const Lane&, const Lane&) = default;
  friend auto operator<=>(const Lane&, const Lane&) = default;
};

// Fixed size, sent ahead of the payload. Both ends fill one in; any difference is an Error that prints both sides.
struct MessageHeader {
  uint64_t run = 0;  // the same on all ranks of one run
  int64_t step = 0;
  int32_t microbatch = -1;
  int32_t loss = -1;  // the first loss that a gradient stream carries; -1 otherwise
  Lane lane;
  int8_t dtype = 0;  // c10::ScalarType, or 0 for plain bytes
  int8_t dimensions = 0;
  std::array<int64_t, 8> shape{};
  uint64_t bytes = 0;
  friend bool operator==(const MessageHeader&, const MessageHeader&) = default;
};
std::string describe(const MessageHeader& header);

// Bytes with an owner that keeps them alive until the transport is done with them. 64-byte aligned where a tensor will
// live.
struct Buffer {
  std::shared_ptr<void> owner;
  std::byte* data = nullptr;
  uint64_t bytes = 0;
  static Buffer allocate(uint64_t bytes);
};

}  // namespace interlock
