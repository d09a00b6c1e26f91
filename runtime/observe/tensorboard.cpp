// TensorBoard's file format, written by hand: five fields of one message do not justify a protobuf library, which would
// also meet the protobuf symbols inside LibTorch.
//   Event:   wall_time = 1 (double), step = 2 (varint), file_version = 3 (text), summary = 5 (message),
//            session_log = 7 (message)
//   Summary: value = 1 (repeated message);  Value: tag = 1 (text), simple_value = 2 (float)
//   SessionLog: status = 1 (varint, 1: start)
#include "runtime/observe/tensorboard.h"

#include <array>
#include <bit>
#include <cstring>

#include "runtime/observe/metrics.h"

namespace interlock {
namespace {

static_assert(std::endian::native == std::endian::little,
              "the format is little-endian and numbers are copied as they lie");

// CRC-32C (Castagnoli), reflected polynomial.
constexpr std::array<uint32_t, 256> crc_table() {
  std::array<uint32_t, 256> table{};
  for (uint32_t byte = 0; byte < 256; ++byte) {
    uint32_t remainder = byte;
    for (int bit = 0; bit < 8; ++bit) remainder = (remainder >> 1) ^ ((remainder & 1) != 0 ? 0x82F63B78u : 0u);
    table[byte] = remainder;
  }
  return table;
}
constexpr auto kCrcTable = crc_table();

template <class T>
std::string raw(T value) {
  std::string bytes(sizeof value, '\0');
  std::memcpy(bytes.data(), &value, sizeof value);
  return bytes;
}

// The format stores CRCs turned and shifted, so that a file of records inside a record does not look valid.
std::string masked_crc(const std::string& bytes) {
  const uint32_t crc = crc32c(bytes);
  return raw(std::rotr(crc, 15) + 0xa282ead8u);
}

std::string varint(uint64_t value) {
  std::string bytes;
  for (; value >= 0x80; value >>= 7) bytes += static_cast<char>(value | 0x80);
  return bytes + static_cast<char>(value);
}

enum class Wire : uint8_t { varint = 0, fixed64 = 1, sized = 2, fixed32 = 5 };
std::string key(int field, Wire wire) { return varint(static_cast<uint64_t>(field) << 3 | static_cast<uint8_t>(wire)); }
std::string sized(int field, const std::string& content) {
  return key(field, Wire::sized) + varint(content.size()) + content;
}

std::string scalar(const std::string& tag, double value) {
  return sized(1, sized(1, tag) + key(2, Wire::fixed32) + raw(static_cast<float>(value)));
}

}  // namespace

uint32_t crc32c(const std::string& bytes) {
  uint32_t crc = ~0u;
  for (const char c : bytes) crc = kCrcTable[(crc ^ static_cast<uint8_t>(c)) & 0xff] ^ (crc >> 8);
  return ~crc;
}

std::string tensorboard_record(const std::string& payload) {
  const std::string length = raw(static_cast<uint64_t>(payload.size()));
  return length + masked_crc(length) + payload + masked_crc(payload);
}

std::string tensorboard_version_event(double wall_time) {
  return key(1, Wire::fixed64) + raw(wall_time) + sized(3, "brain.Event:2");
}

std::string tensorboard_start_event(double wall_time, int64_t step) {
  return key(1, Wire::fixed64) + raw(wall_time) + key(2, Wire::varint) + varint(static_cast<uint64_t>(step)) +
         sized(7, key(1, Wire::varint) + varint(1));
}

std::string tensorboard_scalar_event(double wall_time, int64_t step,
                                     const std::vector<std::pair<std::string, double>>& scalars) {
  std::string summary;
  for (const auto& [tag, value] : scalars) summary += scalar(tag, value);
  return key(1, Wire::fixed64) + raw(wall_time) + key(2, Wire::varint) + varint(static_cast<uint64_t>(step)) +
         sized(5, summary);
}

}  // namespace interlock
