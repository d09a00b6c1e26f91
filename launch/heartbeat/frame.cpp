#include "launch/heartbeat/frame.h"

namespace interlock {
namespace {

template <class Number>
void put(std::string& text, Number number) {
  for (int shift = static_cast<int>(sizeof number) * 8 - 8; shift >= 0; shift -= 8)
    text.push_back(static_cast<char>(number >> shift & 0xff));
}

template <class Number>
Number get(std::string_view text) {
  Number number = 0;
  for (size_t i = 0; i < sizeof number; ++i) number = number << 8 | static_cast<uint8_t>(text[i]);
  return number;
}

constexpr size_t length_bytes = 4, head_bytes = 4 + 1 + 8, code_bytes = 32;

}  // namespace

std::string FrameWriter::seal(FrameKind kind, std::string_view payload) {
  if (payload.size() > largest_payload) throw std::logic_error("a frame that is too long");
  std::string frame;
  put(frame, static_cast<uint32_t>(payload.size() + frame_overhead - length_bytes));
  put(frame, static_cast<uint8_t>(kind));
  put(frame, sequence_++);
  frame += payload;
  frame += text_of(authentication_code(key_, frame));
  return frame;
}

std::optional<Frame> FrameReader::next() {
  if (bytes_.size() < length_bytes) return std::nullopt;
  const size_t size = length_bytes + get<uint32_t>(bytes_);
  if (size < frame_overhead || size > largest_frame) throw ProtocolError("a length out of bounds");
  if (bytes_.size() < size) return std::nullopt;
  const std::string_view frame = std::string_view(bytes_).substr(0, size);
  const std::string_view signed_part = frame.substr(0, size - code_bytes);
  if (!equal_codes(authentication_code(key_, signed_part), frame.substr(size - code_bytes)))
    throw ProtocolError("a frame that nobody of this run has sealed");
  if (get<uint64_t>(frame.substr(length_bytes + 1)) != sequence_) throw ProtocolError("a frame out of order");
  ++sequence_;
  Frame found{static_cast<FrameKind>(frame[length_bytes]), std::string(signed_part.substr(head_bytes))};
  bytes_.erase(0, size);
  return found;
}

void FrameReader::use_key(const Secret& key) {
  key_ = key;
  sequence_ = 0;
}

}  // namespace interlock
