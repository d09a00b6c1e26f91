#pragma once
// The launch of runtime/optimization/squares.h on a GPU. Internal to the CUDA module.

#include <cuda_runtime_api.h>

#include <cstdint>

namespace interlock::kernels {

// `runs` [count][3]: where each begins in `numbers`, where it ends, and its place in `sums`. T is float or double.
template <class T>
void run_squares(const T* numbers, const int64_t* runs, int64_t count, double* sums, cudaStream_t stream);

}  // namespace interlock::kernels
