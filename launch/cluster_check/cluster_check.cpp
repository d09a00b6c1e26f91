#include "launch/cluster_check/cluster_check.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <optional>
#include <span>

#include "launch/cluster_check/shared_folder.h"
#include "launch/forecast/memory_check.h"
#include "launch/forecast/memory_footprint.h"
#include "launch/run/assemble.h"
#include "launch/run/together.h"
#include "launch/settings/parts.h"
#include "models/model.h"
#include "parallel/transport/group.h"
#include "parallel/transport/loopback.h"
#include "runtime/core/log.h"
#include "runtime/storage/sha256.h"

namespace interlock {
namespace {

constexpr uint64_t usual_message = 1 << 20, largest_message = 64 << 20;

std::optional<RunSettings> read_config(const ClusterCheckRequest& request) {
  if (request.config.empty()) return std::nullopt;
  RunSettings settings = read_settings(Config::from_file(request.config, request.overrides));
  check_settings(settings);
  return settings;
}

std::string digest_of(const std::string& text) {
  Sha256 digest;
  digest.add(text);
  return digest.hex();
}

// The largest message between stages: one microbatch at a boundary.
uint64_t largest_boundary(const RunSettings& settings, const Model& model, const std::vector<int>& partition) {
  uint64_t largest = 0;
  for (const Boundary& boundary : make_boundaries(model, partition)) {
    const int64_t numbers =
        std::accumulate(boundary.shape.begin(), boundary.shape.end(), int64_t{1}, std::multiplies<>());
    largest = std::max(largest, static_cast<uint64_t>(numbers * settings.parallel.batch_shape().microbatch_size *
                                                      static_cast<int64_t>(c10::elementSize(boundary.type))));
  }
  return std::clamp<uint64_t>(largest, 1, largest_message);
}

// By rank; ranks of later replicas hold what those of the first do.
std::vector<double> forecast_of(const RunSettings& settings, const Model& model, const std::vector<int>& partition,
                                const Outside& outside) {
  std::vector<double> bytes;
  for (int replica = 0; replica < settings.parallel.shape.replicas; ++replica)
    for (const MemoryFootprint& rank : rank_footprints(settings, model, partition))
      bytes.push_back(rank.all() + outside.of_process);
  return bytes;
}

// What rank 0 alone works out from the config.
struct Plans {
  std::vector<std::pair<int, int>> pairs;
  uint64_t message_bytes = usual_message;
};

Plans plans_of(const std::optional<RunSettings>& settings, int ranks, ClusterFacts& facts) {
  Plans plans;
  for (int rank = 0; rank + 1 < ranks; ++rank) plans.pairs.emplace_back(rank, rank + 1);
  facts.no_forecast = "not forecast: no config was named";
  if (!settings) return plans;
  facts.processes = settings->parallel.processes();
  if (facts.processes != ranks) {
    facts.no_forecast = "not forecast: another number of ranks than the config asks for";
    return plans;
  }
  plans.pairs = neighbour_pairs(settings->parallel.shape);
  try {
    const auto dataset = make_dataset(*settings);
    const auto model = make_model(*settings, *dataset);
    const std::vector<int> partition = make_partition(*settings, *model);
    plans.message_bytes = largest_boundary(*settings, *model, partition);
    const Outside outside = outside_of(measure_empty_rank(*settings), measure_data(*settings));
    facts.forecast = forecast_of(*settings, *model, partition, outside);
    facts.forecast_of_host = outside.of_machine;
  } catch (const Error& error) {
    facts.no_forecast = message("not forecast: ", error.what());
  }
  return plans;
}

// From rank 0 to all.
Plans agreed(Group& world, const Plans& own) {
  Plans plans = own;
  uint64_t sizes[2] = {plans.message_bytes, plans.pairs.size()};
  world.broadcast(std::as_writable_bytes(std::span(sizes)), 0);
  plans.message_bytes = sizes[0];
  plans.pairs.resize(sizes[1]);
  world.broadcast(std::as_writable_bytes(std::span(plans.pairs)), 0);
  return plans;
}

// Whole on rank 0.
ClusterFacts ask(Transport& transport, const std::optional<RunSettings>& settings) {
  Group world = Group::of_all(transport);
  const bool leads = transport.rank() == 0;
  const RankFacts own = facts_of_this_rank(settings ? digest_of(settings->config.resolved()) : "",
                                           settings ? settings->parallel.threads : 1, transport.description());
  ClusterFacts facts;
  for (const std::string& said : world.gather(packed(own), 0)) facts.ranks.push_back(unpacked(said));
  facts.folder = settings ? settings->folder : ".";
  if (settings) facts.slowed = settings->parallel.links;
  const Plans plans = agreed(world, leads ? plans_of(settings, transport.size(), facts) : Plans{});
  facts.message_bytes = plans.message_bytes;
  facts.clock_offsets = clock_offsets(transport);
  facts.folder_problems = check_shared_folder(world, facts.folder);
  facts.links = measure_links(transport, world, plans.pairs, plans.message_bytes);
  return facts;
}

}  // namespace

int check_cluster(const ClusterCheckRequest& request, const std::function<int(const ClusterFacts&)>& tell) {
  const LaunchPlace place = launch_place();
  start_log(place.launched ? place.rank : -1);
  std::optional<RunSettings> settings;
  const auto prepare = [&] { settings = read_config(request); };
  const auto work = [&](Transport& transport) {
    const ClusterFacts facts = ask(transport, settings);
    return transport.rank() == 0 ? tell(facts) : 0;
  };
  if (place.size > 1)
    return run_together(
        place, [&](Transport&) { return prepare(), ConfigValues{}; }, work);  // it tells of configs that differ
  prepare();
  // More ranks from such a launcher would not find each other: to ask for them would be the wrong advice.
  if (!place.no_mpi.empty() && !(settings && settings->parallel.processes() == 1))
    throw Error(ExitCode::config, place.no_mpi);
  return work(*make_loopback(1).front());
}

}  // namespace interlock
