// The gradients of a table's rows, added up in the order in which they come.
#include "models/kernels/elements.cuh"

namespace interlock::kernels {
namespace {

constexpr int threads = 256;

// The block of the first of equal places adds up all of them.
__global__ void add_to_rows_kernel(float* sum, const int64_t* places, const int64_t* order, const float* rows,
                                   int64_t count, int64_t width, float factor, int64_t padding) {
  const int64_t first = blockIdx.x, place = places[first];
  if (place == padding || (first > 0 && places[first - 1] == place)) return;
  int64_t end = first + 1;
  while (end < count && places[end] == place) ++end;
  for (int64_t column = threadIdx.x; column < width; column += threads) {
    float total = sum[place * width + column];
#pragma unroll 8
    for (int64_t i = first; i < end; ++i) total += factor * rows[order[i] * width + column];
    sum[place * width + column] = total;
  }
}

}  // namespace

void add_to_rows(float* sum, const int64_t* places, const int64_t* order, const float* rows, int64_t count,
                 int64_t width, float factor, int64_t padding, cudaStream_t stream) {
  if (count == 0) return;
  add_to_rows_kernel<<<static_cast<unsigned>(count), threads, 0, stream>>>(sum, places, order, rows, count, width,
                                                                           factor, padding);
}

}  // namespace interlock::kernels
