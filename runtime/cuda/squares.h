#pragma once
// The launch of runtime/optimization/squares.h on a GPU. Internal to the CUDA module.

#include <cuda_runtime_api.h>

#include <cstdint>

namespace interlock::kernels {

// The sum of squares of every `block` numbers, the last of what is left: sums [(count + block - 1) / block]. T is float
// or double.
template <class T>
void block_squares(const T* numbers, int64_t count, int64_t block, double* sums, cudaStream_t stream);

}  // namespace interlock::kernels
