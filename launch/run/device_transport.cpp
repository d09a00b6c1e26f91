#include "launch/run/device_transport.h"

#include <cstdlib>
#include <filesystem>

#include "parallel/plan/pair_order.h"
#include "parallel/transport/group.h"
#include "parallel/transport/nccl/nccl.h"
#include "runtime/device/cuda_driver.h"

namespace interlock {
namespace {

constexpr const char* module_entry = "interlock_cuda_nccl";
using ModuleEntry = NcclCalls* (*)(int gpu);

// Of the first rank that has one; "": none has. All ranks learn the same.
std::string first_problem(Transport& host, const std::string& mine) {
  const std::vector<std::string> problems = Group::of_all(host).all_gather(mine);
  for (size_t rank = 0; rank < problems.size(); ++rank)
    if (!problems[rank].empty()) return message("rank ", rank, ": ", problems[rank]);
  return "";
}

}  // namespace

void check_nccl(const RunSettings& settings) {
  if (settings.parallel.transport != "nccl") return;
  std::error_code unreadable;
  std::string problem;
  if (settings.device == "cpu")
    problem = "run.device = \"cpu\"";
  else if (problem = ask_cuda_driver().problem;
           problem.empty() && !std::filesystem::exists(cuda_module_path(), unreadable))
    problem = message("there is no CUDA module at ", cuda_module_path());
  if (!problem.empty())
    settings.config.section("parallel")
        .refuse("transport", message("= \"nccl\" needs a GPU for every rank, but ", problem,
                                     "; \"auto\" takes NCCL only where it can be had"));
}

std::shared_ptr<NcclCalls> module_nccl(const Device& device, std::string& problem) {
  if (device.is_cpu()) {
    problem = message("it computes on ", device.name, " (", device.reason, ")");
    return nullptr;
  }
  const auto entry = reinterpret_cast<ModuleEntry>(cuda_module_function(module_entry));
  if (entry == nullptr) {
    problem = "the CUDA module was built without NCCL";
    return nullptr;
  }
  return std::shared_ptr<NcclCalls>(entry(device.at.index()));
}

DeviceTransport choose_device_transport(const RunSettings& settings, Transport& host, const Device& device,
                                        std::shared_ptr<NcclCalls> calls, const std::string& problem) {
  const std::string& wanted = settings.parallel.transport;
  const bool forced = wanted == "nccl";
  DeviceTransport chosen;
  if (!forced && wanted != "auto")
    return chosen.reason = message("parallel.transport = \"", wanted, "\""), std::move(chosen);
  if (settings.parallel.links.slowed())
    return chosen.reason = "as parallel.link_bandwidth and parallel.link_latency ask for", std::move(chosen);
  if (!forced && host.size() == 1) return chosen.reason = "there is one rank", std::move(chosen);
  if (!forced && device.is_cpu()) return chosen.reason = "ranks compute on the CPU", std::move(chosen);
  std::string obstacle = first_problem(host, calls ? "" : problem);
  if (obstacle.empty()) obstacle = nccl_obstacle(host, *calls);
  if (!obstacle.empty()) {
    if (forced)
      throw Error(ExitCode::config, message("parallel.transport = \"nccl\", but ", obstacle,
                                            "; \"auto\" takes NCCL only where it can be had"));
    chosen.reason = obstacle;
    return chosen;
  }
  const char* headers = std::getenv("INTERLOCK_CHECK_MESSAGES");
  NcclOptions options{.pairs = message_pairs(settings.parallel.shape),
                      .limit_seconds = settings.parallel.transport_seconds,
                      .check_headers = headers != nullptr && std::string(headers) == "1"};
  chosen.calls = std::move(calls);
  chosen.transport = make_nccl(host, *chosen.calls, options);
  chosen.reason =
      forced ? "parallel.transport = \"nccl\"" : "every rank has a GPU for itself, or shares one as NCCL allows";
  return chosen;
}

}  // namespace interlock
