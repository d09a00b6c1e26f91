#pragma once
// Reads TensorBoard event files back, independently of the writer: CRC bit by bit, and a parser for any protobuf
// message.

#include <cstdint>
#include <cstring>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

namespace interlock::tensorboard_reader {

inline uint32_t crc_bit_by_bit(const std::string& bytes) {
  uint32_t remainder = 0xffffffff;
  for (const char c : bytes) {
    for (int bit = 0; bit < 8; ++bit) {
      const bool out = ((remainder ^ (static_cast<uint8_t>(c) >> bit)) & 1) != 0;
      remainder >>= 1;
      if (out) remainder ^= 0x82f63b78;
    }
  }
  return remainder ^ 0xffffffff;
}

inline uint32_t mask(uint32_t crc) { return ((crc >> 15) | (crc << 17)) + 0xa282ead8; }

template <class T>
T at(const std::string& bytes, size_t& position) {
  T value;
  if (bytes.size() - position < sizeof value) throw std::runtime_error("cut short");
  std::memcpy(&value, bytes.data() + position, sizeof value);
  position += sizeof value;
  return value;
}

inline std::string take(const std::string& bytes, size_t& position, size_t count) {
  if (bytes.size() - position < count) throw std::runtime_error("cut short");
  position += count;
  return bytes.substr(position - count, count);
}

inline std::vector<std::string> records(const std::string& file) {
  std::vector<std::string> payloads;
  for (size_t position = 0; position < file.size();) {
    const std::string head = take(file, position, 8);
    if (at<uint32_t>(file, position) != mask(crc_bit_by_bit(head))) throw std::runtime_error("length CRC");
    uint64_t length = 0;
    std::memcpy(&length, head.data(), 8);
    payloads.push_back(take(file, position, length));
    if (at<uint32_t>(file, position) != mask(crc_bit_by_bit(payloads.back()))) throw std::runtime_error("payload CRC");
  }
  return payloads;
}

struct Field {
  uint64_t number = 0;  // varints
  double real = 0;      // 32 and 64 bit values, read as floating point
  std::string bytes;    // texts and messages
};
using Message = std::multimap<int, Field>;

inline uint64_t varint(const std::string& bytes, size_t& position) {
  uint64_t value = 0;
  for (int shift = 0;; shift += 7) {
    const auto byte = at<uint8_t>(bytes, position);
    value |= static_cast<uint64_t>(byte & 0x7f) << shift;
    if (byte < 0x80) return value;
  }
}

inline Message parse(const std::string& bytes) {
  Message fields;
  for (size_t position = 0; position < bytes.size();) {
    const uint64_t key = varint(bytes, position);
    Field field;
    switch (key & 7) {
      case 0:
        field.number = varint(bytes, position);
        break;
      case 1:
        field.real = at<double>(bytes, position);
        break;
      case 2:
        field.bytes = take(bytes, position, varint(bytes, position));
        break;
      case 5:
        field.real = at<float>(bytes, position);
        break;
      default:
        throw std::runtime_error("unknown wire type");
    }
    fields.emplace(static_cast<int>(key >> 3), field);
  }
  return fields;
}

// tag -> value of one scalar event.
inline std::map<std::string, double> scalars(const Message& event) {
  std::map<std::string, double> values;
  const Message summary = parse(event.find(5)->second.bytes);
  for (const auto& [number, value] : summary) {
    if (number != 1) throw std::runtime_error("not a summary value");
    const Message inner = parse(value.bytes);
    values[inner.find(1)->second.bytes] = inner.find(2)->second.real;
  }
  return values;
}

}  // namespace interlock::tensorboard_reader
