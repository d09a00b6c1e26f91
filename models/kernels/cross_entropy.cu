// One block per row: once over it for its log-sum, once to write the gradient over it.
#include <algorithm>
#include <type_traits>

#include "models/kernels/bodies.h"
#include "models/kernels/elements.cuh"

namespace interlock::kernels {
namespace {

constexpr int threads = 512;

// act(number, its place) for a thread's share of a row: fours as long as there are, where rows consist of them.
template <class T, bool fours, class Act>
__device__ void each_of(const T* row, int64_t classes, const Act& act) {
  const int64_t in_fours = fours ? classes / 4 * 4 : 0;
  for (int64_t i = threadIdx.x * int64_t{4}; i < in_fours; i += threads * 4) {
    float four[4];
    load_four(row + i, four);
    for (int k = 0; k < 4; ++k) act(four[k], i + k);
  }
  for (int64_t i = in_fours + threadIdx.x; i < classes; i += threads) act(load(row + i), i);
}
// Each number becomes act(number, its place).
template <class T, bool fours, class Act>
__device__ void change_each(T* row, int64_t classes, const Act& act) {
  const int64_t in_fours = fours ? classes / 4 * 4 : 0;
  for (int64_t i = threadIdx.x * int64_t{4}; i < in_fours; i += threads * 4) {
    float four[4];
    load_four(row + i, four);
    for (int k = 0; k < 4; ++k) four[k] = act(four[k], i + k);
    store_four(row + i, four);
  }
  for (int64_t i = in_fours + threadIdx.x; i < classes; i += threads) store(row + i, act(load(row + i), i));
}

template <class T, bool fours>
__global__ void cross_entropy_kernel(T* logits, int64_t with_target, int64_t classes, int64_t stride,
                                     const int64_t* targets, float* losses) {
  const int64_t row = blockIdx.x;
  T* numbers = logits + row * stride;
  if (row >= with_target) return change_each<T, fours>(numbers, classes, [](float, int64_t) { return 0.0f; });
  LogSum mine;
  each_of<T, fours>(numbers, classes, [&](float x, int64_t) { mine = with(mine, x); });
  const LogSum whole = over_block(mine);
  const int64_t target = targets[row];
  if (threadIdx.x == 0) losses[row] = loss_of(whole, load(numbers + target));
  __syncthreads();  // the target's number is read before it is written over
  change_each<T, fours>(numbers, classes,
                        [&](float x, int64_t i) { return probability(whole, x) - (i == target ? 1.0f : 0.0f); });
}

template <class T>
__global__ void scale_kernel(T* x, int64_t count, const float* factor) {
  const float number = *factor;
  if (number == 1.0f) return;
  const int64_t stride = static_cast<int64_t>(gridDim.x) * threads;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * threads + threadIdx.x; i < count; i += stride)
    store(x + i, load(x + i) * number);
}

}  // namespace

void scale(void* x, Type type, int64_t count, const float* factor, cudaStream_t stream) {
  if (count == 0) return;
  const unsigned grid = std::min(blocks_for(count, threads), 1024u);
  of_type(type, [&](auto* number) {
    using T = std::remove_pointer_t<decltype(number)>;
    scale_kernel<T><<<grid, threads, 0, stream>>>(static_cast<T*>(x), count, factor);
  });
}

void cross_entropy(void* logits, Type type, int64_t rows, int64_t with_target, int64_t classes, int64_t stride,
                   const int64_t* targets, float* losses, cudaStream_t stream) {
  if (rows == 0) return;
  of_type(type, [&](auto* number) {
    using T = std::remove_pointer_t<decltype(number)>;
    auto* numbers = static_cast<T*>(logits);
    const auto kernel = in_fours(numbers, stride) ? cross_entropy_kernel<T, true> : cross_entropy_kernel<T, false>;
    kernel<<<static_cast<unsigned>(rows), threads, 0, stream>>>(numbers, with_target, classes, stride, targets, losses);
  });
}

}  // namespace interlock::kernels
