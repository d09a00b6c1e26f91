// The end of a sublayer in one pass each way: dropout of what it gives, the residual sum and the norm over it. A warp
// per row, which lies in its registers; rows of a multiple of 128 numbers up to 1024.
#include <algorithm>
#include <type_traits>

#include "models/kernels/bodies.h"
#include "models/kernels/elements.cuh"

namespace interlock::kernels {
namespace {

constexpr int warps = 4, threads = warps * warp_size;
constexpr int together = 4;  // numbers of a Philox counter, and of one access to memory
// Backward: three blocks for each of the 132 multiprocessors of an H100 or H200, which is what the registers allow.
constexpr int blocks_at_once = 3, most_parts = blocks_at_once * 132;

template <class T>
__device__ float rounded(float x) {
  T narrow;
  store(&narrow, x);
  return load(&narrow);
}

__device__ float sum_over_warp(float mine) {
  for (int distance = warp_size / 2; distance > 0; distance /= 2) mine += __shfl_xor_sync(whole_warp, mine, distance);
  return mine;
}

// Where a row's draws come from.
struct Place {
  uint64_t sample, first;  // counter of the row's first numbers
};
__device__ Place place_of(const Draws& draws, int64_t row, int64_t width) {
  return {static_cast<uint64_t>(draws.numbers[row / draws.rows_of_sample]),
          static_cast<uint64_t>(row % draws.rows_of_sample * width / together)};
}

template <class T, int groups>
__global__ void forward_kernel(const T* x, const T* y, const float* weight, const float* bias, T* sum, T* result,
                               float* mean, float* inverse, int64_t rows, float epsilon, Draws draws) {
  constexpr int64_t width = groups * warp_size * together;
  const int64_t row = static_cast<int64_t>(blockIdx.x) * warps + threadIdx.x / warp_size;
  if (row >= rows) return;
  const int first = threadIdx.x % warp_size * together;
  const Place place = place_of(draws, row, width);
  float v[groups][together], total = 0;
  for (int g = 0; g < groups; ++g) {
    const int column = g * warp_size * together + first;
    float given[together];
    load_four(x + row * width + column, v[g]);
    load_four(y + row * width + column, given);
    const Words words = philox_words(draws.key, place.sample, place.first + column / together);
    for (int i = 0; i < together; ++i) {
      const float kept = rounded<T>(dropped(words.word[i], draws.threshold, given[i], draws.factor));
      v[g][i] = rounded<T>(v[g][i] + kept);
      total += v[g][i];
    }
    store_four(sum + row * width + column, v[g]);
  }
  const float middle = sum_over_warp(total) / width;
  float squares = 0;
  for (int g = 0; g < groups; ++g)
    for (int i = 0; i < together; ++i) squares += (v[g][i] - middle) * (v[g][i] - middle);
  const float scale = inverse_deviation(Spread{width, middle, sum_over_warp(squares)}, epsilon);
  if (first == 0) {
    mean[row] = middle;
    inverse[row] = scale;
  }
  for (int g = 0; g < groups; ++g) {
    const int column = g * warp_size * together + first;
    float normed[together];
    for (int i = 0; i < together; ++i) normed[i] = (v[g][i] - middle) * scale * weight[column + i] + bias[column + i];
    store_four(result + row * width + column, normed);
  }
}

// A row of both tensors as it lies in memory.
template <class T, int groups>
struct Row {
  Four<T> slope[groups], sum[groups];
};
template <class T, int groups>
__device__ void fetch(Row<T, groups>& row, const T* gradient, const T* sum, int64_t at) {
  for (int g = 0; g < groups; ++g) {
    row.slope[g] = *reinterpret_cast<const Four<T>*>(gradient + at + g * warp_size * together);
    row.sum[g] = *reinterpret_cast<const Four<T>*>(sum + at + g * warp_size * together);
  }
}

// Rows are dealt out to warps in turn; each adds up its part of the gradients of weight and bias. A warp asks for its
// next row before it works on the present one: two rows in registers keep memory busy where few warps fit.
template <class T, int groups>
__global__ void __launch_bounds__(threads, blocks_at_once)
    backward_kernel(const T* gradient, const T* sum, const float* weight, const float* mean, const float* inverse,
                    T* of_x, T* of_y, float* of_both, int64_t rows, Draws draws) {
  constexpr int64_t width = groups * warp_size * together;
  __shared__ float of_warps[warps][width];
  const int warp = threadIdx.x / warp_size, first = threadIdx.x % warp_size * together;
  const int64_t stride = static_cast<int64_t>(gridDim.x) * warps;
  float weights[groups][together] = {}, biases[groups][together] = {};
  int64_t row = static_cast<int64_t>(blockIdx.x) * warps + warp;
  Row<T, groups> next;
  if (row < rows) fetch(next, gradient, sum, row * width + first);
  for (; row < rows; row += stride) {
    const Row<T, groups> here = next;
    if (row + stride < rows) fetch(next, gradient, sum, (row + stride) * width + first);
    const float middle = mean[row], scale = inverse[row];
    Slopes mine;
    for (int g = 0; g < groups; ++g) {
      float scales[together];
      load_four(weight + g * warp_size * together + first, scales);
      for (int i = 0; i < together; ++i) {
        const float slope = load(&here.slope[g].number[i]), normed = (load(&here.sum[g].number[i]) - middle) * scale;
        mine = with(mine, slope, scales[i], normed);
        weights[g][i] += slope * normed;
        biases[g][i] += slope;
      }
    }
    const Slopes whole = mean_of({sum_over_warp(mine.plain), sum_over_warp(mine.normed)}, width);
    const Place place = place_of(draws, row, width);
    for (int g = 0; g < groups; ++g) {
      const int column = g * warp_size * together + first;
      float scales[together], of_sum[together];
      load_four(weight + column, scales);
      for (int i = 0; i < together; ++i)
        of_sum[i] = input_gradient(whole, load(&here.slope[g].number[i]), scales[i],
                                   (load(&here.sum[g].number[i]) - middle) * scale, scale);
      store_four(of_x + row * width + column, of_sum);
      if (of_y == nullptr) continue;
      const Words words = philox_words(draws.key, place.sample, place.first + column / together);
      for (int i = 0; i < together; ++i)
        of_sum[i] = dropped(words.word[i], draws.threshold, rounded<T>(of_sum[i]), draws.factor);
      store_four(of_y + row * width + column, of_sum);
    }
  }
  const auto add_up = [&](const float(&mine)[groups][together], float* to) {
    __syncthreads();
    for (int g = 0; g < groups; ++g)
      for (int i = 0; i < together; ++i) of_warps[warp][g * warp_size * together + first + i] = mine[g][i];
    __syncthreads();
    for (int column = threadIdx.x; column < width; column += threads) {
      float total = 0;
      for (int other = 0; other < warps; ++other) total += of_warps[other][column];
      to[blockIdx.x * 2 * width + column] = total;
    }
  };
  add_up(weights, of_both);
  add_up(biases, of_both + width);
}

// act(std::integral_constant of the groups of 128 numbers in a row).
template <class Act>
void of_groups(int64_t width, const Act& act) {
  switch (width / (warp_size * together)) {
    case 1:
      return act(std::integral_constant<int, 1>());
    case 2:
      return act(std::integral_constant<int, 2>());
    case 3:
      return act(std::integral_constant<int, 3>());
    case 4:
      return act(std::integral_constant<int, 4>());
    case 5:
      return act(std::integral_constant<int, 5>());
    case 6:
      return act(std::integral_constant<int, 6>());
    case 7:
      return act(std::integral_constant<int, 7>());
    default:
      return act(std::integral_constant<int, 8>());
  }
}

}  // namespace

bool residual_norm_takes(int64_t width) {
  const int64_t unit = warp_size * together;
  return width % unit == 0 && width <= 8 * unit;
}

int64_t residual_norm_parts(int64_t rows) { return std::min<int64_t>(most_parts, (rows + warps - 1) / warps); }

void residual_norm(const void* x, const void* y, Type type, const float* weight, const float* bias, void* sum,
                   void* result, float* mean, float* inverse, int64_t rows, int64_t width, float epsilon,
                   const Draws& draws, cudaStream_t stream) {
  if (rows == 0) return;
  of_type(type, [&](auto* number) {
    using T = std::remove_pointer_t<decltype(number)>;
    of_groups(width, [&](auto groups) {
      forward_kernel<T, decltype(groups)::value><<<blocks_for(rows, warps), threads, 0, stream>>>(
          static_cast<const T*>(x), static_cast<const T*>(y), weight, bias, static_cast<T*>(sum),
          static_cast<T*>(result), mean, inverse, rows, epsilon, draws);
    });
  });
}

void residual_norm_backward(const void* gradient, const void* sum, Type type, const float* weight, const float* mean,
                            const float* inverse, void* of_x, void* of_y, float* of_both, int64_t rows, int64_t width,
                            const Draws& draws, cudaStream_t stream) {
  if (rows == 0) return;
  const auto grid = static_cast<unsigned>(residual_norm_parts(rows));
  of_type(type, [&](auto* number) {
    using T = std::remove_pointer_t<decltype(number)>;
    of_groups(width, [&](auto groups) {
      backward_kernel<T, decltype(groups)::value>
          <<<grid, threads, 0, stream>>>(static_cast<const T*>(gradient), static_cast<const T*>(sum), weight, mean,
                                         inverse, static_cast<T*>(of_x), static_cast<T*>(of_y), of_both, rows, draws);
    });
  });
}

}  // namespace interlock::kernels
