#include "launch/settings/parallel_settings.h"

#include <sched.h>

#include <algorithm>
#include <cstdlib>
#include <limits>
#include <thread>

#include "launch/settings/key_place.h"
#include "launch/settings/small_integers.h"
#include "parallel/plan/schedule.h"
#include "parallel/transport/mpi.h"

namespace interlock {
namespace {

// A rule is a stages x stages matrix and a plan a list per microbatch: beyond these a plan no longer fits in memory.
constexpr int64_t most_stages = 4096, most_microbatches = int64_t{1} << 20, most_replicas = int64_t{1} << 20;
constexpr int64_t most_memory_mib = int64_t{1} << 30;  // a pebibyte

// A name, or the rank of each stage.
Placement read_placement(const Section& parallel, const PlanShape& shape) {
  const std::string key = "placement";
  if (parallel.has(key) && !parallel.is_text(key))
    return Placement::by_hand(small_integers(parallel, key, {}, std::numeric_limits<int>::min()));
  return Placement::named(parallel.one_of(key, "contiguous", Placement::names()), shape.stages, shape.ranks);
}

PlanShape read_shape(const Config& config, const Section& parallel) {
  PlanShape shape;
  shape.stages = small_integer(parallel, "stages", 4, 1, most_stages);
  shape.ranks = small_integer(parallel, "ranks", shape.stages, 1);
  shape.replicas = small_integer(parallel, "replicas", 1, 1, most_replicas);
  shape.microbatches = small_integer(parallel, "microbatches", 4, 1, most_microbatches);
  shape.placement = read_placement(parallel, shape);
  placing_key(config, [&] { shape.check(); });
  return shape;
}

void read_partition(const Section& parallel, ParallelSettings& settings) {
  const int stages = settings.shape.stages;
  const std::string key = "partition";
  if (!parallel.has(key) || parallel.is_text(key)) {
    const std::string name = parallel.one_of(key, "balanced", {"balanced", "balanced_for_rule"});
    settings.balanced_for_rule = name == "balanced_for_rule";
    return;
  }
  const std::vector<int> units = small_integers(parallel, key, {}, 1);
  if (static_cast<int>(units.size()) != stages)
    parallel.refuse(key, message("has ", units.size(), " entries for ", stages,
                                 " stages; write \"balanced\", \"balanced_for_rule\", or the number of ",
                                 words_of(settings.unit), " of each stage"));
  settings.partition = units;
}

LinkSpeed read_links(const Section& parallel, const std::string& transport) {
  LinkSpeed links;
  links.bandwidth = parallel.number("link_bandwidth", 0, 0);
  links.latency = parallel.number("link_latency", 0, 0);
  if (links.slowed() && transport == "nccl")
    parallel.refuse(links.bandwidth > 0 ? "link_bandwidth" : "link_latency",
                    "slows messages in host memory down, which parallel.transport = \"nccl\" does not use; use "
                    "\"auto\", \"loopback\" or \"mpi\", or 0");
  return links;
}

// Cores shared by the processes of the run on this machine. A launcher of other people may have bound each process to
// its share already; ours binds nothing, so what it may use is what they all share.
int threads_of(int asked, const PlanShape& shape) {
  if (asked > 0) return asked;
  const LaunchPlace place = launch_place();
  const int64_t processes = place.launched && place.size > 1 ? place.local_size : int64_t{shape.ranks} * shape.replicas;
  cpu_set_t set;
  const int64_t usable = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
  const bool may_be_bound = place.launched && !std::getenv("INTERLOCK_SUPERVISED");
  const int64_t cores = may_be_bound ? int64_t{std::thread::hardware_concurrency()} : usable;
  return static_cast<int>(std::clamp(cores / std::max(int64_t{1}, processes), int64_t{1}, usable));
}

}  // namespace

ParallelSettings ParallelSettings::from(const Config& config) {
  const Section parallel = config.section("parallel");
  ParallelSettings settings;
  settings.shape = read_shape(config, parallel);
  settings.batch = BatchSettings::from(parallel, settings.shape.microbatches);
  settings.schedule = parallel.one_of("schedule", auto_schedule, schedule_names());
  settings.in_flight = small_integer(parallel, "in_flight", 0, 0);
  settings.memory_mib = parallel.integer("memory_mib", 0, 0, most_memory_mib);
  placing_key(config, [&] { check_schedule(settings.shape, settings.schedule, settings.in_flight); });
  settings.transport = parallel.one_of("transport", "auto", {"auto", "loopback", "mpi", "nccl"});
  settings.transport_seconds = parallel.number("transport_seconds", 300, 1);
  settings.links = read_links(parallel, settings.transport);
  const int threads = small_integer(parallel, "threads", 1, 0, 4096);
  settings.threads = threads_of(threads, settings.shape);
  settings.threads_by_machine = threads == 0;
  settings.unit = read_unit(parallel);
  read_partition(parallel, settings);
  settings.shard_optimizer = parallel.flag("shard_optimizer", false);
  return settings;
}

}  // namespace interlock
