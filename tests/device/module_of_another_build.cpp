// A CUDA module as an older or newer build would have it.
#include "runtime/device/cuda_module.h"

extern "C" const interlock::CudaModule* interlock_cuda_module() {
  static const interlock::CudaModule table{
      "interlock-cuda 0, LibTorch 1.13.1", 11080, nullptr, nullptr, nullptr, nullptr, nullptr};
  return &table;
}
