// The table of element types, and conversion of their bytes to numbers.

#include "runtime/storage/dtype.h"

#include <array>
#include <bit>
#include <cassert>
#include <cmath>
#include <cstring>
#include <limits>

namespace interlock {
namespace {

static_assert(std::endian::native == std::endian::little, "safetensors data is little-endian and is mapped as it is");
static_assert(std::numeric_limits<long double>::digits >= 64, "read_numbers promises exact 64-bit integers");

struct Dtype {
  const char* name;
  int bits;
};

// In the order of the reference implementation, which is the order the writer packs by.
constexpr std::array<Dtype, 22> dtypes = {{
    {"BOOL", 8},    {"F4", 4},      {"F6_E2M3", 6}, {"F6_E3M2", 6},     {"U8", 8},          {"I8", 8},
    {"F8_E5M2", 8}, {"F8_E4M3", 8}, {"F8_E8M0", 8}, {"F8_E4M3FNUZ", 8}, {"F8_E5M2FNUZ", 8}, {"I16", 16},
    {"U16", 16},    {"F16", 16},    {"BF16", 16},   {"I32", 32},        {"U32", 32},        {"F32", 32},
    {"C64", 64},    {"F64", 64},    {"I64", 64},    {"U64", 64},
}};

struct Float16 {
  uint16_t bits;
};
struct BFloat16 {
  uint16_t bits;
};

template <class T>
long double number(T value) {
  return static_cast<long double>(value);
}
long double number(BFloat16 value) { return std::bit_cast<float>(uint32_t{value.bits} << 16); }
long double number(Float16 value) {
  const int exponent = (value.bits >> 10) & 31, fraction = value.bits & 1023;
  long double magnitude;
  if (exponent == 31) {
    magnitude =
        fraction == 0 ? std::numeric_limits<long double>::infinity() : std::numeric_limits<long double>::quiet_NaN();
  } else if (exponent == 0) {
    magnitude = std::ldexp(static_cast<long double>(fraction), -24);  // subnormal
  } else {
    magnitude = std::ldexp(static_cast<long double>(1024 + fraction), exponent - 25);
  }
  return (value.bits & 0x8000) != 0 ? -magnitude : magnitude;
}

template <class T>
void read_as(std::span<const std::byte> bytes, size_t first, std::span<long double> out) {
  for (size_t i = 0; i < out.size(); ++i) {
    T value;
    std::memcpy(&value, bytes.data() + (first + i) * sizeof(T), sizeof(T));
    out[i] = number(value);
  }
}

using Reader = void (*)(std::span<const std::byte>, size_t, std::span<long double>);

Reader reader(const std::string& dtype) {
  if (dtype == "BOOL" || dtype == "U8") return read_as<uint8_t>;
  if (dtype == "I8") return read_as<int8_t>;
  if (dtype == "I16") return read_as<int16_t>;
  if (dtype == "U16") return read_as<uint16_t>;
  if (dtype == "I32") return read_as<int32_t>;
  if (dtype == "U32") return read_as<uint32_t>;
  if (dtype == "I64") return read_as<int64_t>;
  if (dtype == "U64") return read_as<uint64_t>;
  if (dtype == "F16") return read_as<Float16>;
  if (dtype == "BF16") return read_as<BFloat16>;
  if (dtype == "F32") return read_as<float>;
  if (dtype == "F64") return read_as<double>;
  return nullptr;
}

}  // namespace

int dtype_rank(const std::string& dtype) {
  for (size_t i = 0; i < dtypes.size(); ++i) {
    if (dtype == dtypes[i].name) return static_cast<int>(i);
  }
  return -1;
}

int dtype_bits(const std::string& dtype) {
  const int rank = dtype_rank(dtype);
  assert(rank >= 0);
  return dtypes[static_cast<size_t>(rank)].bits;
}

bool dtype_is_number(const std::string& dtype) { return reader(dtype) != nullptr; }

void read_numbers(const std::string& dtype, std::span<const std::byte> bytes, size_t first,
                  std::span<long double> out) {
  const Reader read = reader(dtype);
  assert(read != nullptr);
  assert((first + out.size()) * static_cast<size_t>(dtype_bits(dtype)) <= bytes.size() * 8);
  read(bytes, first, out);
}

}  // namespace interlock
