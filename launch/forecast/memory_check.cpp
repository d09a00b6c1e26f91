#include "launch/forecast/memory_check.h"

#include <filesystem>

#include "launch/forecast/machine_memory.h"
#include "launch/settings/parts.h"
#include "runtime/core/error.h"
#include "runtime/core/log.h"
#include "runtime/device/device.h"

namespace interlock {
namespace {

// An empty rank takes 160 to 250 MiB, and the data what it takes. To measure both takes half a second, which a run is
// worth that is neither small nor far too large.
constexpr double usual_outside = 256.0 * (1 << 20), measured_from = 0.5, tensors_to = 2;

}  // namespace

bool may_be_on_gpu(const RunSettings& settings) {
  std::error_code absent;
  return settings.device == "cuda" || (settings.device == "auto" && std::filesystem::exists("/dev/nvidiactl", absent) &&
                                       std::filesystem::exists(cuda_module_path(), absent));
}

Outside outside_of(const EmptyRank& empty, double data) {
  return {empty.bytes - empty.of_files + data, empty.of_files};
}

double bytes_together(std::span<const MemoryFootprint> ranks, const LocalRanks& here, const Outside& outside,
                      bool sharded) {
  double bytes = outside.of_machine + outside.of_process * (here.threads ? 1 : here.count);
  for (int rank = here.first; rank < here.first + here.count; ++rank) {
    const MemoryFootprint& one = ranks[static_cast<size_t>(rank) % ranks.size()];
    const bool writes = static_cast<size_t>(rank) < ranks.size() || sharded;
    bytes += one.all() - (writes ? 0 : one.checkpoint);
  }
  return bytes;
}

double forecast_bytes(const RunSettings& settings, const Model& model, std::span<const Plan* const> plans,
                      const LocalRanks& here, double limit, int runs) {
  const auto ranks = rank_footprints(settings, model, make_partition(settings, model), plans);
  const auto together = [&](const Outside& outside) {
    const bool sharded = settings.parallel.shard_optimizer;
    return outside.of_machine + runs * bytes_together(ranks, here, {outside.of_process}, sharded);
  };
  const double bytes = together({usual_outside}), tensors = together({});
  const bool decides = bytes >= measured_from * limit && tensors < tensors_to * limit;
  const EmptyRank empty = decides ? measure_empty_rank(settings) : EmptyRank{};
  return empty.bytes > 0 ? together(outside_of(empty, measure_data(settings))) : bytes;
}

void check_memory(const RunSettings& settings, const Model& model, std::span<const Plan* const> plans,
                  const LocalRanks& here, bool force) {
  const MachineMemory memory = machine_memory();
  if (memory.bytes == 0 || may_be_on_gpu(settings)) return;
  const double bytes = forecast_bytes(settings, model, plans, here, memory.bytes);
  const Fit fit = fit_of(bytes, memory);
  if (fit == Fit::fits) return;
  const std::string said = message("by the forecast ", fit_text(bytes, here.count, memory));
  if (fit == Fit::tight || force) return log_warning(said + (fit == Fit::tight ? ": little is left" : ": it is tried"));
  throw Error(
      ExitCode::config,
      message(settings.config.file(), ": does not fit into memory: ", said,
              ". `interlock plan` shows what takes it. Less is held with a smaller parallel.microbatch_size, "
              "run.recompute = \"block\", run.precision = \"bf16\", parallel.shard_optimizer = true or ranks on "
              "more machines; --force tries it all the same"));
}

}  // namespace interlock
