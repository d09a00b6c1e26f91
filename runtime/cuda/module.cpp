// The table of functions that the module hands out (runtime/device/cuda_module.h). No exception leaves it.

#include <ATen/Context.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAFunctions.h>
#include <c10/util/Exception.h>
#include <cuda_runtime_api.h>

#include <cstdio>

#include "runtime/device/cuda_module.h"

namespace interlock {
namespace {

// Runs `act` (returns a cudaError_t); what goes wrong becomes a text.
template <class Act>
int guarded(char* problem, int room, const Act& act) {
  try {
    const cudaError_t error = act();
    if (error == cudaSuccess) return 0;
    std::snprintf(problem, static_cast<size_t>(room), "%s", cudaGetErrorString(error));
  } catch (const c10::Error& error) {
    std::snprintf(problem, static_cast<size_t>(room), "%s", error.what_without_backtrace());
  } catch (const std::exception& error) {
    std::snprintf(problem, static_cast<size_t>(room), "%s", error.what());
  }
  return 1;
}

int versions(int* runtime, int* driver, char* problem, int room) {
  return guarded(problem, room, [&] {
    if (const cudaError_t error = cudaRuntimeGetVersion(runtime); error != cudaSuccess) return error;
    return cudaDriverGetVersion(driver);
  });
}

int count(int* gpus, char* problem, int room) {
  return guarded(problem, room, [&] {
    if (const cudaError_t error = cudaGetDeviceCount(gpus); error != cudaSuccess) return error;
    *gpus = c10::cuda::device_count();
    return cudaSuccess;
  });
}

void write_uuid(const cudaUUID_t& uuid, char (&text)[64]) {
  const auto* bytes = reinterpret_cast<const unsigned char*>(uuid.bytes);
  int length = std::snprintf(text, sizeof text, "GPU-");
  for (int i = 0; i < 16; ++i) {
    const char* dash = i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "";
    length += std::snprintf(text + length, sizeof text - static_cast<size_t>(length), "%s%02x", dash, bytes[i]);
  }
}

int facts(int gpu, GpuFacts* facts, char* problem, int room) {
  return guarded(problem, room, [&] {
    cudaDeviceProp properties{};
    if (const cudaError_t error = cudaGetDeviceProperties(&properties, gpu); error != cudaSuccess) return error;
    std::snprintf(facts->name, sizeof facts->name, "%.*s", static_cast<int>(sizeof facts->name) - 1, properties.name);
    write_uuid(properties.uuid, facts->uuid);
    facts->major = properties.major;
    facts->minor = properties.minor;
    facts->bytes = properties.totalGlobalMem;
    return cudaSuccess;
  });
}

int use(int gpu, char* problem, int room) {
  return guarded(problem, room, [&] {
    at::globalContext().lazyInitDevice(c10::DeviceType::CUDA);
    c10::cuda::set_device(static_cast<c10::DeviceIndex>(gpu));
    return cudaFree(nullptr);  // makes the context
  });
}

int memory(int gpu, GpuMemory* memory, char* problem, int room) {
  return guarded(problem, room, [&] {
    using c10::CachingAllocator::StatType;
    const auto stats = c10::cuda::CUDACachingAllocator::getDeviceStats(static_cast<c10::DeviceIndex>(gpu));
    const auto& held = stats.allocated_bytes[static_cast<size_t>(StatType::AGGREGATE)];
    memory->held = static_cast<uint64_t>(held.current);
    memory->peak = static_cast<uint64_t>(held.peak);
    memory->reserved = static_cast<uint64_t>(stats.reserved_bytes[static_cast<size_t>(StatType::AGGREGATE)].current);
    size_t free = 0, total = 0;
    const cudaError_t error = cudaMemGetInfo(&free, &total);
    memory->free_on_device = free;
    return error;
  });
}

const CudaModule table{cuda_interface, CUDART_VERSION, versions, count, facts, use, memory};

}  // namespace
}  // namespace interlock

extern "C" __attribute__((visibility("default"))) const interlock::CudaModule* interlock_cuda_module() {
  return &interlock::table;
}
