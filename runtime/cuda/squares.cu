// Sums of squares whose bits depend on the numbers alone: a block of threads per run of numbers, a fixed tree over it.
#include "runtime/cuda/squares.h"

namespace interlock::kernels {
namespace {

constexpr int threads = 256;

template <class T>
__global__ void block_squares_kernel(const T* numbers, int64_t count, int64_t block, double* sums) {
  __shared__ double of_thread[threads];
  const int64_t begin = blockIdx.x * block, end = begin + block < count ? begin + block : count;
  double mine = 0;
  for (int64_t i = begin + threadIdx.x; i < end; i += threads) {
    const double number = numbers[i];
    mine += number * number;
  }
  of_thread[threadIdx.x] = mine;
  __syncthreads();
  for (unsigned half = threads / 2; half > 0; half /= 2) {
    if (threadIdx.x < half) of_thread[threadIdx.x] += of_thread[threadIdx.x + half];
    __syncthreads();
  }
  if (threadIdx.x == 0) sums[blockIdx.x] = of_thread[0];
}

}  // namespace

template <class T>
void block_squares(const T* numbers, int64_t count, int64_t block, double* sums, cudaStream_t stream) {
  if (count == 0) return;
  const auto blocks = static_cast<unsigned>((count + block - 1) / block);
  block_squares_kernel<<<blocks, threads, 0, stream>>>(numbers, count, block, sums);
}

template void block_squares(const float*, int64_t, int64_t, double*, cudaStream_t);
template void block_squares(const double*, int64_t, int64_t, double*, cudaStream_t);

}  // namespace interlock::kernels
