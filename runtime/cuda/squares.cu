// Sums of squares whose bits depend on the numbers alone: a block of threads per run of numbers, a fixed tree over it.
#include "runtime/cuda/squares.h"

namespace interlock::kernels {
namespace {

constexpr int threads = 256;

template <class T>
__global__ void run_squares_kernel(const T* numbers, const int64_t* runs, double* sums) {
  __shared__ double of_thread[threads];
  const int64_t* run = runs + 3 * static_cast<int64_t>(blockIdx.x);
  const int64_t begin = run[0], end = run[1];
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
  if (threadIdx.x == 0) sums[run[2]] = of_thread[0];
}

}  // namespace

template <class T>
void run_squares(const T* numbers, const int64_t* runs, int64_t count, double* sums, cudaStream_t stream) {
  if (count == 0) return;
  run_squares_kernel<<<static_cast<unsigned>(count), threads, 0, stream>>>(numbers, runs, sums);
}

template void run_squares(const float*, const int64_t*, int64_t, double*, cudaStream_t);
template void run_squares(const double*, const int64_t*, int64_t, double*, cudaStream_t);

}  // namespace interlock::kernels
