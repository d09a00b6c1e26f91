#pragma once
// Frames between a node's monitor and the head: what is said, in which order, and that nobody else has said it. No
// socket in here.
//
//   u32 length of what follows | u8 kind | u64 sequence | payload | 32 bytes HMAC-SHA-256 over all before it
//
// Integers in network order. A direction counts its frames from 0; a frame with another number, a code that does not
// fit, or a length out of bounds ends the connection.

#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>

#include "launch/heartbeat/secret.h"

namespace interlock {

// Nothing in here makes a peer do anything but tell, be told, and end.
enum class FrameKind : uint8_t {
  hello = 1,    // head: its nonce
  join = 2,     // node: both nonces, the host's name
  welcome = 3,  // head: both nonces
  beat = 4,     // node: what its ranks do
  dump = 5,     // head: tell everything; node: one rank with its last actions
  stop = 6,     // head: the run is over
};

struct Frame {
  FrameKind kind;
  std::string payload;
};

inline constexpr size_t largest_frame = size_t{64} << 10;  // on the wire, all of it
inline constexpr size_t frame_overhead = 4 + 1 + 8 + 32;
inline constexpr size_t largest_payload = largest_frame - frame_overhead;

// The peer does not keep to the above.
struct ProtocolError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

class FrameWriter {
 public:
  explicit FrameWriter(const Secret& key) : key_(key) {}
  std::string seal(FrameKind kind, std::string_view payload);  // payload <= largest_payload

 private:
  Secret key_;
  uint64_t sequence_ = 0;
};

class FrameReader {
 public:
  explicit FrameReader(const Secret& key) : key_(key) {}
  void feed(std::string_view bytes) { bytes_ += bytes; }
  // The next whole frame; none: more bytes are needed. ProtocolError.
  std::optional<Frame> next();
  // From the next frame on; what was fed and not taken yet is read with it.
  void use_key(const Secret& key);
  size_t held() const { return bytes_.size(); }

 private:
  Secret key_;
  std::string bytes_;
  uint64_t sequence_ = 0;
};

}  // namespace interlock
