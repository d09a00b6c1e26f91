// A warp per row; the gradients of weight and bias, which are sums over rows, a block per part of the rows.
#include <type_traits>

#include "models/kernels/bodies.h"
#include "models/kernels/elements.cuh"

namespace interlock::kernels {
namespace {

constexpr int warps = 8, threads = warps * warp_size;

template <class T>
__global__ void norm_kernel(const T* x, const float* weight, const float* bias, T* result, float* mean, float* inverse,
                            int64_t rows, int64_t width, float epsilon) {
  const int64_t row = static_cast<int64_t>(blockIdx.x) * warps + threadIdx.x / warp_size;
  const int lane = threadIdx.x % warp_size;
  if (row >= rows) return;
  const T* from = x + row * width;
  Spread mine;
  for (int64_t i = lane; i < width; i += warp_size) mine = with(mine, load(from + i));
  const Spread whole = over_warp(mine);
  const float scale = inverse_deviation(whole, epsilon);
  if (lane == 0) {
    mean[row] = whole.mean;
    inverse[row] = scale;
  }
  T* to = result + row * width;
  for (int64_t i = lane; i < width; i += warp_size)
    store(to + i, (load(from + i) - whole.mean) * scale * weight[i] + bias[i]);
}

template <class T>
__global__ void input_gradient_kernel(const T* gradient, const T* x, const float* weight, const float* mean,
                                      const float* inverse, T* of_x, int64_t rows, int64_t width) {
  const int64_t row = static_cast<int64_t>(blockIdx.x) * warps + threadIdx.x / warp_size;
  const int lane = threadIdx.x % warp_size;
  if (row >= rows) return;
  const T *slope = gradient + row * width, *from = x + row * width;
  const float middle = mean[row], scale = inverse[row];
  Slopes mine;
  for (int64_t i = lane; i < width; i += warp_size)
    mine = with(mine, load(slope + i), weight[i], (load(from + i) - middle) * scale);
  const Slopes whole = mean_of(over_warp(mine), static_cast<float>(width));
  T* to = of_x + row * width;
  for (int64_t i = lane; i < width; i += warp_size)
    store(to + i, input_gradient(whole, load(slope + i), weight[i], (load(from + i) - middle) * scale, scale));
}

// Columns of a block: 32, one per lane; its warps share the rows of a part.
template <class T>
__global__ void weight_gradient_kernel(const T* gradient, const T* x, const float* mean, const float* inverse,
                                       float* of_both, int64_t rows, int64_t width, int64_t rows_of_part) {
  __shared__ __align__(16) unsigned char memory[warps * warp_size * sizeof(Slopes)];
  auto* of_warp = reinterpret_cast<Slopes(*)[warp_size]>(memory);
  const int lane = threadIdx.x % warp_size, warp = threadIdx.x / warp_size;
  const int64_t column = static_cast<int64_t>(blockIdx.x) * warp_size + lane, part = blockIdx.y;
  const int64_t begin = part * rows_of_part, end = begin + rows_of_part < rows ? begin + rows_of_part : rows;
  Slopes mine;
  if (column < width)
    for (int64_t row = begin + warp; row < end; row += warps) {
      const float slope = load(gradient + row * width + column);
      mine = with(mine, slope, 1.0f, (load(x + row * width + column) - mean[row]) * inverse[row]);
    }
  of_warp[warp][lane] = mine;
  __syncthreads();
  if (warp != 0 || column >= width) return;
  for (int other = 1; other < warps; ++other) mine = combined(mine, of_warp[other][lane]);
  of_both[part * 2 * width + column] = mine.normed;
  of_both[(part * 2 + 1) * width + column] = mine.plain;
}

}  // namespace

void norm(const void* x, Type type, const float* weight, const float* bias, void* result, float* mean, float* inverse,
          int64_t rows, int64_t width, float epsilon, cudaStream_t stream) {
  if (rows == 0) return;
  of_type(type, [&](auto* number) {
    using T = std::remove_pointer_t<decltype(number)>;
    norm_kernel<T><<<blocks_for(rows, warps), threads, 0, stream>>>(
        static_cast<const T*>(x), weight, bias, static_cast<T*>(result), mean, inverse, rows, width, epsilon);
  });
}

void norm_input_gradient(const void* gradient, const void* x, Type type, const float* weight, const float* mean,
                         const float* inverse, void* of_x, int64_t rows, int64_t width, cudaStream_t stream) {
  if (rows == 0) return;
  of_type(type, [&](auto* number) {
    using T = std::remove_pointer_t<decltype(number)>;
    input_gradient_kernel<T>
        <<<blocks_for(rows, warps), threads, 0, stream>>>(static_cast<const T*>(gradient), static_cast<const T*>(x),
                                                          weight, mean, inverse, static_cast<T*>(of_x), rows, width);
  });
}

void norm_weight_gradient(const void* gradient, const void* x, Type type, const float* mean, const float* inverse,
                          float* of_both, int64_t rows, int64_t width, int64_t rows_of_part, cudaStream_t stream) {
  if (rows == 0 || width == 0) return;
  const dim3 grid(blocks_for(width, warp_size), blocks_for(rows, rows_of_part));
  of_type(type, [&](auto* number) {
    using T = std::remove_pointer_t<decltype(number)>;
    weight_gradient_kernel<T><<<grid, threads, 0, stream>>>(static_cast<const T*>(gradient), static_cast<const T*>(x),
                                                            mean, inverse, of_both, rows, width, rows_of_part);
  });
}

}  // namespace interlock::kernels
