#pragma once
// What NVIDIA's driver says when it is asked without LibTorch: cheap where there is none, and harmless where LibTorch
// is never to load its CUDA half. Free of LibTorch.

#include <string>
#include <vector>

namespace interlock {

struct CudaDriver {
  int gpus = 0;         // that this process may use
  int version = 0;      // of CUDA that the driver can serve at most: 13000 is 13.0; 0: there is no driver
  std::string problem;  // why there is no GPU; "" when there is one
};

// Asked anew at every call. After it the process must not fork and then use CUDA: ask in a child where that matters.
CudaDriver ask_cuda_driver();

// The GPUs that a container was given, as files of `folder` ("/dev"): nvidia0, nvidia3; not nvidiactl, nvidia-uvm.
std::vector<std::string> gpu_files(const std::string& folder);

std::string cuda_version_text(int version);  // 13000 is "13.0"

}  // namespace interlock
