// Sums over rows: of parts of the rows first, a block for each, then of the parts. Both in a fixed order.
#include <type_traits>

#include "models/kernels/elements.cuh"

namespace interlock::kernels {
namespace {

constexpr int warps = 8, threads = warps * warp_size;

// A lane takes `together` columns, 4 where rows consist of fours; the warps of a block share the rows of its part.
template <class T, int together>
__global__ void parts_kernel(const T* numbers, float* parts, int64_t rows, int64_t width, int64_t stride,
                             int64_t rows_of_part) {
  constexpr int columns = warp_size * together;
  __shared__ float of_warp[warps][columns];
  const int lane = threadIdx.x % warp_size, warp = threadIdx.x / warp_size;
  const int64_t left = static_cast<int64_t>(blockIdx.x) * columns, column = left + lane * together, part = blockIdx.y;
  const int64_t begin = part * rows_of_part, end = begin + rows_of_part < rows ? begin + rows_of_part : rows;
  float mine[together] = {};
  if (column < width) {
#pragma unroll 8
    for (int64_t row = begin + warp; row < end; row += warps) {
      float given[together];
      if constexpr (together == 4) {
        load_four(numbers + row * stride + column, given);
      } else {
        given[0] = load(numbers + row * stride + column);
      }
      for (int i = 0; i < together; ++i) mine[i] += given[i];
    }
  }
  for (int i = 0; i < together; ++i) of_warp[warp][lane * together + i] = mine[i];
  __syncthreads();
  for (int i = threadIdx.x; i < columns; i += threads) {
    float total = 0;
    for (int other = 0; other < warps; ++other) total += of_warp[other][i];
    if (left + i < width) parts[part * width + left + i] = total;
  }
}

// A lane takes a column; the warps of a block share the parts.
__global__ void add_parts_kernel(const float* parts, int64_t count, int64_t width, float* sum, float factor,
                                 bool overwrite) {
  __shared__ float of_warp[warps][warp_size];
  const int lane = threadIdx.x % warp_size, warp = threadIdx.x / warp_size;
  const int64_t column = static_cast<int64_t>(blockIdx.x) * warp_size + lane;
  float mine = 0;
  if (column < width) {
#pragma unroll 8
    for (int64_t part = warp; part < count; part += warps) mine += parts[part * width + column];
  }
  of_warp[warp][lane] = mine;
  __syncthreads();
  if (warp != 0 || column >= width) return;
  float total = 0;
  for (int other = 0; other < warps; ++other) total += of_warp[other][lane];
  sum[column] = overwrite ? factor * total : sum[column] + factor * total;
}

}  // namespace

void row_sums(const void* numbers, Type type, float* parts, int64_t rows, int64_t width, int64_t stride,
              int64_t rows_of_part, cudaStream_t stream) {
  if (rows == 0 || width == 0) return;
  of_type(type, [&](auto* number) {
    using T = std::remove_pointer_t<decltype(number)>;
    const auto* from = static_cast<const T*>(numbers);
    const unsigned parts_of_rows = blocks_for(rows, rows_of_part);
    if (width % 4 == 0 && in_fours(from, stride)) {
      const dim3 grid(blocks_for(width, 4 * warp_size), parts_of_rows);
      parts_kernel<T, 4><<<grid, threads, 0, stream>>>(from, parts, rows, width, stride, rows_of_part);
    } else {
      const dim3 grid(blocks_for(width, warp_size), parts_of_rows);
      parts_kernel<T, 1><<<grid, threads, 0, stream>>>(from, parts, rows, width, stride, rows_of_part);
    }
  });
}

void add_parts(const float* parts, int64_t count, int64_t width, float* sum, float factor, bool overwrite,
               cudaStream_t stream) {
  if (width == 0) return;
  add_parts_kernel<<<blocks_for(width, warp_size), threads, 0, stream>>>(parts, count, width, sum, factor, overwrite);
}

}  // namespace interlock::kernels
