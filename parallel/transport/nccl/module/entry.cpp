// What the CUDA module exports of NCCL; the rest of the transport is the program's own.
#include <c10/cuda/CUDAStream.h>

#include "parallel/transport/nccl/real_calls.h"

extern "C" __attribute__((visibility("default"))) interlock::NcclCalls* interlock_cuda_nccl(int gpu) {
  const auto index = static_cast<c10::DeviceIndex>(gpu);
  return interlock::real_nccl_calls(gpu, [index] { return c10::cuda::getCurrentCUDAStream(index).stream(); }).release();
}
