#pragma once
// The element types of safetensors: names, sizes, order of alignment, and reading one as a number.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace interlock {

// Position in the format's alignment order (BOOL first, U64 last), or -1 for a name that is no element type.
int dtype_rank(const std::string& dtype);
int dtype_bits(const std::string& dtype);  // the type must exist
// Whether read_numbers knows the type: integers, BOOL, F16, BF16, F32 and F64.
bool dtype_is_number(const std::string& dtype);

// Elements first .. first + out.size() - 1 of `bytes`, exactly (a long double of 64 mantissa bits holds every I64 and
// U64).
void read_numbers(const std::string& dtype, std::span<const std::byte> bytes, size_t first, std::span<long double> out);

}  // namespace interlock
