// Compares weights in pieces that fit the cache.

#include "runtime/storage/weights_compare.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "runtime/storage/dtype.h"

namespace interlock {
namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

double difference(long double a, long double b) {
  if (a == b) return 0;  // equal infinities too, whose difference would be NaN
  if (std::isnan(a) || std::isnan(b)) return infinity;
  return static_cast<double>(std::abs(a - b));
}

double largest_difference(const TensorEntry& a, std::span<const std::byte> a_bytes, const TensorEntry& b,
                          std::span<const std::byte> b_bytes) {
  if (!dtype_is_number(a.dtype) || !dtype_is_number(b.dtype)) {
    // 8-bit and smaller floats and complex numbers: only whether they are the same.
    return a.dtype == b.dtype && std::ranges::equal(a_bytes, b_bytes) ? 0 : infinity;
  }
  const size_t count = a_bytes.size() * 8 / static_cast<size_t>(dtype_bits(a.dtype));
  std::array<long double, 1024> a_piece, b_piece;
  double largest = 0;
  for (size_t first = 0; first < count; first += a_piece.size()) {
    const size_t size = std::min(a_piece.size(), count - first);
    read_numbers(a.dtype, a_bytes, first, std::span(a_piece).first(size));
    read_numbers(b.dtype, b_bytes, first, std::span(b_piece).first(size));
    for (size_t i = 0; i < size; ++i) largest = std::max(largest, difference(a_piece[i], b_piece[i]));
  }
  return largest;
}

template <class Weights>
WeightsDifference compare(const Weights& file, const Weights& other) {
  WeightsDifference result;
  for (const TensorEntry& theirs : other.tensors()) {
    if (file.find(theirs.name) == nullptr) result.missing.push_back(theirs.name);
  }
  for (const TensorEntry& ours : file.tensors()) {
    const TensorEntry* theirs = other.find(ours.name);
    if (theirs == nullptr) {
      result.unexpected.push_back(ours.name);
      continue;
    }
    if (ours.shape != theirs->shape || ours.dtype != theirs->dtype) result.unlike.push_back({ours, *theirs});
    if (ours.shape != theirs->shape) continue;
    const double largest = largest_difference(ours, file.bytes(ours), *theirs, other.bytes(*theirs));
    if (largest > result.largest) {
      result.largest = largest;
      result.name = ours.name;
    }
  }
  return result;
}

}  // namespace

WeightsDifference compare_weights(const SafetensorsFile& file, const SafetensorsFile& other) {
  return compare(file, other);
}
WeightsDifference compare_weights(const WeightsSet& weights, const WeightsSet& other) {
  return compare(weights, other);
}

}  // namespace interlock
