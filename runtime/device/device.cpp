#include "runtime/device/device.h"

#include <ATen/Context.h>
#include <dlfcn.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <mutex>

#include "runtime/core/blocked_signals.h"
#include "runtime/core/error.h"
#include "runtime/device/cuda_driver.h"

namespace interlock {
namespace {

std::mutex opening;
const CudaModule* opened = nullptr;
void* library = nullptr;

using Problem = std::array<char, 512>;

// What every failure of the module's functions becomes.
template <class... Arguments>
void call(int (*function)(Arguments...), const std::string& what, auto&&... arguments) {
  Problem problem{};
  if (function(arguments..., problem.data(), static_cast<int>(problem.size())) != 0)
    throw Error(ExitCode::gave_up, message(what, ": ", problem.data()));
}

// The bits of a run must not depend on where it ran: kernels whose sums come in any order are not for us. LibTorch
// gives cuBLAS a workspace of its own for every stream, so that products have the same bits in each. Of
// CUBLAS_WORKSPACE_CONFIG, which others set for that, it makes the same, but parses it at every product (LibTorch
// 2.11): that made steps of small microbatches 2.5 times as long (docs/results/gpu.md).
void ask_for_equal_bits() {
  at::globalContext().setDeterministicAlgorithms(true, /*warn_only=*/false);
  at::globalContext().setDeterministicFillUninitializedMemory(false);
  // Parts of a product in bfloat16 are added up in float: else it is rounded more than once, by what kernel it gets.
  at::globalContext().setAllowBF16ReductionCuBLAS(false);
  // LibTorch would round what convolutions in float32 read to ten bits of fraction: float32 is float32.
  at::globalContext().setAllowTF32CuDNN(false);
}

const CudaModule* open_at(const std::string& path) {
  library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library)
    throw Error(ExitCode::config, message("the CUDA module ", path, " cannot be opened: ", dlerror(),
                                          "; build it on this machine, or set run.device = \"cpu\""));
  const auto table = reinterpret_cast<CudaModuleFunction>(dlsym(library, cuda_module_symbol));
  if (!table)
    throw Error(ExitCode::config, message(path, " is no CUDA module of Interlock (it has no ", cuda_module_symbol,
                                          "); name another file with INTERLOCK_CUDA_MODULE"));
  const CudaModule* module = table();
  if (std::strcmp(module->interface, cuda_interface) != 0)
    throw Error(ExitCode::config,
                message("the CUDA module ", path, " belongs to another build: it is \"", module->interface,
                        "\", this program needs \"", cuda_interface, "\"; build both together"));
  return module;
}

std::string describe(const GpuFacts& facts, int gpu) {
  return message("GPU ", gpu, ", ", facts.name, " (", facts.uuid, ", compute capability ", facts.major, ".",
                 facts.minor, ", ", facts.bytes >> 20, " MiB)");
}

Device use_gpu(int local_rank, const std::string& reason) {
  const BlockedSignals blocked;  // CUDA and LibTorch start threads
  const CudaModule& module = open_cuda_module();
  int gpus = 0, runtime = 0, driver = 0;
  call(module.versions, "the versions of CUDA cannot be asked", &runtime, &driver);
  if (driver / 1000 < module.compiled_with / 1000)
    throw Error(
        ExitCode::config,
        message("the NVIDIA driver serves CUDA ", cuda_version_text(driver), " at most, and the module is built with ",
                cuda_version_text(module.compiled_with), ": install a newer driver, or set run.device = \"cpu\""));
  call(module.count, "LibTorch finds no GPU", &gpus);
  if (gpus == 0)
    throw Error(ExitCode::gave_up,
                "LibTorch sees no GPU although the driver does: something asked it before the CUDA "
                "module was open, which is a mistake of this program");
  const int gpu = local_rank % gpus;
  GpuFacts facts{};
  call(module.facts, message("GPU ", gpu, " does not say what it is"), gpu, &facts);
  ask_for_equal_bits();
  call(module.use, message("GPU ", gpu, " does not start"), gpu);
  Device device;
  device.at = at::Device(at::kCUDA, static_cast<at::DeviceIndex>(gpu));
  device.immediate = false;
  device.name = describe(facts, gpu);
  device.reason = reason;
  return device;
}

}  // namespace

std::string cuda_module_path() {
  if (const char* path = std::getenv("INTERLOCK_CUDA_MODULE"); path && *path) return path;
  std::error_code problem;
  const std::filesystem::path folder = std::filesystem::read_symlink("/proc/self/exe", problem).parent_path();
  // A build has it beside the program, an installed prefix in its libraries' folder.
  const std::filesystem::path built = folder / "interlock_cuda.so";
  const std::filesystem::path installed = folder.parent_path() / "lib/interlock/interlock_cuda.so";
  return (!exists(built, problem) && exists(installed, problem) ? installed : built).string();
}

const CudaModule* opened_cuda_module() {
  const std::lock_guard lock(opening);
  return opened;
}

void* cuda_module_function(const char* name) {
  const std::lock_guard lock(opening);
  return opened ? dlsym(library, name) : nullptr;
}

const CudaModule& open_cuda_module() {
  const std::lock_guard lock(opening);
  if (!opened) opened = open_at(cuda_module_path());
  return *opened;
}

Device choose_device(const std::string& wanted, int local_rank) {
  if (wanted == "cpu") return {.reason = "run.device = \"cpu\""};
  const bool automatic = wanted == "auto";
  // The driver first: LibTorch's CUDA half takes seconds and 450 MB to load, for nothing where there is no GPU.
  const CudaDriver driver = ask_cuda_driver();
  std::error_code problem;
  const std::string path = cuda_module_path();
  const bool has_module = std::filesystem::exists(path, problem);
  const std::string missing = !driver.problem.empty() ? driver.problem
                              : !has_module           ? message("there is no CUDA module at ", path)
                                                      : "";
  if (missing.empty()) return use_gpu(local_rank, automatic ? "a GPU is there" : "run.device = \"cuda\"");
  if (automatic) return {.reason = missing};
  throw Error(ExitCode::config, message("run.device = \"cuda\", but ", missing,
                                        "; set run.device to \"cpu\" or \"auto\""
                                        " to train on the CPU"));
}

}  // namespace interlock
