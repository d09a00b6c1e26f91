#pragma once
// NCCL and the CUDA run-time themselves, for one GPU. Built where a toolkit and NCCL's header are found; linked by the
// CUDA module and by a test program, never by the executable.

#include <functional>
#include <memory>

#include "parallel/transport/nccl/calls.h"

namespace interlock {

// `compute_stream` gives the calling thread's. Error(gave_up) when the GPU cannot be used.
std::unique_ptr<NcclCalls> real_nccl_calls(int gpu, std::function<CUstream_st*()> compute_stream);

}  // namespace interlock
