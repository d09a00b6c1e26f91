// GPUs: what the driver shows, and what the CUDA module makes of it.
#include <algorithm>
#include <filesystem>

#include "launch/checks/checks.h"
#include "runtime/core/error.h"
#include "runtime/device/cuda_driver.h"
#include "runtime/device/device.h"

namespace interlock {
namespace {

// LibTorch's CUDA half takes up to 4 s to load, and a GPU that sleeps some more to wake.
constexpr std::chrono::seconds cuda_deadline{30};

// What a rank would compute on, with versions; said in a child process, whose CUDA ends with it.
std::string trial() {
  const CudaDriver driver = ask_cuda_driver();
  const Device device = choose_device("cuda", 0);
  const CudaModule& module = open_cuda_module();
  int runtime = 0, newest = 0;
  char problem[256] = "";
  if (module.versions(&runtime, &newest, problem, sizeof problem) != 0) return problem;
  return message("CUDA ", cuda_version_text(runtime), " at run time, built with ",
                 cuda_version_text(module.compiled_with), ", the driver serves up to ", cuda_version_text(newest), "; ",
                 driver.gpus, " GPU", driver.gpus == 1 ? "" : "s", " for this process, the first is ", device.name);
}

}  // namespace

Check check_gpu() {
  Check check{"gpu", Check::Status::ok, "", ""};
  std::error_code absent;
  int driver_gpus = 0;
  for ([[maybe_unused]] const auto& gpu : std::filesystem::directory_iterator("/proc/driver/nvidia/gpus", absent)) {
    ++driver_gpus;
  }
  const int devices = static_cast<int>(gpu_files("/dev").size());  // of one that was given one GPU, that may be nvidia3
  const int gpus = std::max(driver_gpus, devices);
  check.found = gpus ? message(gpus, " NVIDIA GPU", gpus > 1 ? "s" : "") : "none; runs use the CPU";
  if (driver_gpus > 0 && devices == 0) {
    check.status = Check::Status::warn;
    check.advice = "the driver knows GPUs but none is among /dev/nvidia*; start the container with GPU access";
  }
  return check;
}

Check check_cuda_module(bool has_gpu) {
  Check check{"cuda module", Check::Status::ok, cuda_module_path(), ""};
  std::error_code problem;
  if (!std::filesystem::exists(check.found, problem)) {
    check.status = has_gpu ? Check::Status::warn : Check::Status::ok;
    check.found = message("no ", check.found, has_gpu ? "" : ", and none needed without a GPU");
    if (has_gpu) check.advice = "this build trains on the CPU; the GPU stays unused";
    return check;
  }
  if (!has_gpu) return check;
  const std::string answer = ask_child(trial, cuda_deadline);
  check.found += ": " + answer;
  if (answer.starts_with("failed")) {
    check.status = Check::Status::fail;
    check.advice = "runs with run.device = \"auto\" or \"cuda\" will not start; mend it or set run.device = \"cpu\"";
  }
  return check;
}

}  // namespace interlock
