#pragma once
// What the program and its CUDA module agree on: a table of plain functions that the module hands out under one C name.
// Both sides compare `interface` before anything else is called, so that a module of another build is refused by name
// instead of crashing. Everything else that the module does, it does by registering bodies of operations with LibTorch
// when it is opened.

#include <torch/version.h>

#include <cstdint>

namespace interlock {

// Changes with this file and with LibTorch, whose C++ interface both sides share.
inline constexpr const char* cuda_interface = "interlock-cuda 1, LibTorch " TORCH_VERSION;

struct GpuFacts {
  char name[128];
  char uuid[64];  // as nvidia-smi prints it
  int major, minor;
  uint64_t bytes;  // of memory, in all
};

struct GpuMemory {
  uint64_t held, peak;      // by tensors, now and at most so far
  uint64_t reserved;        // of the driver, by LibTorch's allocator
  uint64_t free_on_device;  // for anybody
};

// Functions return 0, or another number with a text in `problem` (of `room` bytes).
struct CudaModule {
  const char* interface;  // the first member in every version
  int compiled_with;      // CUDART_VERSION
  int (*versions)(int* runtime, int* driver, char* problem, int room);
  int (*count)(int* gpus, char* problem, int room);
  int (*facts)(int gpu, GpuFacts* facts, char* problem, int room);
  // Makes the GPU the calling thread's, and starts it up.
  int (*use)(int gpu, char* problem, int room);
  int (*memory)(int gpu, GpuMemory* memory, char* problem, int room);
};

// The one name that the module exports.
inline constexpr const char* cuda_module_symbol = "interlock_cuda_module";
using CudaModuleFunction = const CudaModule* (*)();

}  // namespace interlock
