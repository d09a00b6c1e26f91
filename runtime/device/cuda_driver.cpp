#include "runtime/device/cuda_driver.h"

#include <dlfcn.h>

#include <cstdlib>
#include <filesystem>

#include "runtime/core/blocked_signals.h"
#include "runtime/core/error.h"

namespace interlock {
namespace {

// Of the driver's C interface (cuda.h), which is stable since CUDA 2: 0 is success.
using Init = int (*)(unsigned);
using Number = int (*)(int*);
using ErrorText = int (*)(int, const char**);

template <class Function>
Function find(void* library, const char* name) {
  return reinterpret_cast<Function>(dlsym(library, name));
}

std::string text_of(void* library, int error) {
  const char* text = nullptr;
  if (const auto error_text = find<ErrorText>(library, "cuGetErrorString")) error_text(error, &text);
  return text ? text : message("error ", error);
}

// What a variable has to do with it: it is the usual reason.
std::string visible_devices() {
  const char* visible = std::getenv("CUDA_VISIBLE_DEVICES");
  return visible ? message("; CUDA_VISIBLE_DEVICES is \"", visible, "\"") : "";
}

}  // namespace

CudaDriver ask_cuda_driver() {
  CudaDriver driver;
  // Read when CUDA starts: streams of different directions must not share a queue of the GPU (parallel/transport/nccl).
  setenv("CUDA_DEVICE_MAX_CONNECTIONS", "32", 0);
  void* library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    driver.problem = "there is no NVIDIA driver (libcuda.so.1 is not found)";
    return driver;
  }
  const auto init = find<Init>(library, "cuInit");
  const auto count = find<Number>(library, "cuDeviceGetCount"), version = find<Number>(library, "cuDriverGetVersion");
  if (!init || !count || !version) {
    driver.problem = "libcuda.so.1 is no NVIDIA driver: it lacks cuInit";
    return driver;
  }
  const BlockedSignals blocked;  // the driver starts threads
  version(&driver.version);
  if (const int error = init(0)) {
    driver.problem = message("the NVIDIA driver finds no GPU: ", text_of(library, error), visible_devices());
  } else if (const int counting = count(&driver.gpus)) {
    driver.problem = message("the NVIDIA driver cannot count GPUs: ", text_of(library, counting), visible_devices());
  } else if (driver.gpus == 0) {
    driver.problem = message("the NVIDIA driver shows no GPU to this process", visible_devices());
  }
  return driver;
}

std::vector<std::string> gpu_files(const std::string& folder) {
  std::vector<std::string> files;
  std::error_code absent;
  for (const auto& entry : std::filesystem::directory_iterator(folder, absent)) {
    const std::string file = entry.path().filename().string(), before = "nvidia";
    if (file.size() > before.size() && file.starts_with(before) &&
        file.find_first_not_of("0123456789", before.size()) == std::string::npos)
      files.push_back(file);
  }
  return files;
}

std::string cuda_version_text(int version) { return message(version / 1000, ".", version % 1000 / 10); }

}  // namespace interlock
