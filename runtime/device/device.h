#pragma once
// What a rank computes on: the CPU, or a GPU through the CUDA module (interlock_cuda.so), which is opened on demand.
//
// Opened before anything asks LibTorch for CUDA, or never: LibTorch remembers for the life of the process that there
// was none. Only what is in this room may ask.

#include <ATen/core/Tensor.h>

#include <optional>
#include <string>

#include "runtime/device/cuda_module.h"

namespace interlock {

struct Device {
  at::Device at = at::kCPU;
  // Whether the host may look at a number as soon as it asked for it, at no cost. Where not, numbers are read once per
  // step, one step behind.
  bool immediate = true;
  std::string name = "the CPU";  // for people: of a GPU with its UUID
  std::string reason;            // why this one, for people

  bool is_cpu() const { return at.is_cpu(); }
};

// `wanted`: "cpu", "cuda", or "auto" (a GPU if there is one, else the CPU). The GPU is the local rank's; ranks beyond
// the last GPU begin again with the first. It becomes the calling thread's. Error(config) for "cuda" where there is no
// driver, no GPU, no module, or one of another build; Error(gave_up) when the GPU does not start. `auto` takes the CPU
// in the first of these cases and says why; a module that is there and broken is an error.
Device choose_device(const std::string& wanted, int local_rank);

// The module's path: INTERLOCK_CUDA_MODULE, or beside the program.
std::string cuda_module_path();
// Opens the module, once per process. Error(config) says what is wrong with it.
const CudaModule& open_cuda_module();
// The module if somebody has opened it.
const CudaModule* opened_cuda_module();
// Another function that the open module exports under a C name; null: it has none, or nobody has opened it.
void* cuda_module_function(const char* name);

}  // namespace interlock
