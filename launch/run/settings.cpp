// Reads the keys of a run, with their defaults and ranges. Names and defaults are those of configs/tiny.toml.

#include <sched.h>

#include <algorithm>
#include <cassert>
#include <cstdlib>
#include <limits>
#include <thread>

#include "launch/run/assemble.h"
#include "launch/run/key_place.h"
#include "parallel/plan/schedule.h"
#include "parallel/transport/mpi.h"
#include "runtime/core/registry.h"
#include "runtime/optimization/optimizer.h"
#include "runtime/optimization/presets.h"

namespace interlock {

struct ModelSettings;

namespace {

constexpr int64_t int_least = std::numeric_limits<int>::min(), int_most = std::numeric_limits<int>::max();

// A rule is a stages x stages matrix and a plan a list per microbatch: beyond these a plan no longer fits in memory.
constexpr int64_t most_stages = 4096, most_microbatches = int64_t{1} << 20, most_replicas = int64_t{1} << 20;

int small_integer(const Section& section, const std::string& key, int64_t fallback, int64_t least = int_least,
                  int64_t most = int_most) {
  return static_cast<int>(section.integer(key, fallback, least, most));
}

std::vector<int> small_integers(const Section& section, const std::string& key, const std::vector<int>& fallback,
                                int64_t least) {
  std::vector<int> values;
  for (const int64_t value : section.integers(key, {fallback.begin(), fallback.end()})) {
    if (value < least || value > int_most)
      section.refuse(key, message(value, " is out of range; each entry must be from ", least, " to ", int_most));
    values.push_back(static_cast<int>(value));
  }
  return values;
}

// The keys of a rule. Whether they fit the network is for make_rule to say, and only for the keys that the rule reads.
RuleRequest read_rule(const Section& section, const RuleRequest& fallback) {
  RuleRequest request;
  request.rule = section.one_of("rule", fallback.rule, rule_names());
  request.horizon = small_integer(section, "horizon", fallback.horizon);
  request.window = small_integer(section, "window", fallback.window);
  request.weight = section.number("weight", fallback.weight);
  request.matrix = section.matrix("matrix", fallback.matrix);
  request.frozen = small_integers(section, "frozen", fallback.frozen, 0);
  return request;
}

// [learning], then each [[learning.change]]: a key that a change leaves out keeps the value it had before.
std::vector<RunSettings::RuleChange> read_rules(const Section& learning) {
  std::vector<RunSettings::RuleChange> rules{{1, read_rule(learning, {})}};
  for (const Section& change : learning.sections("change")) {
    if (!change.has("at_step")) change.refuse("at_step", "is needed: the first step under this rule, 2 or later");
    const int64_t at_step = change.integer("at_step", 2, 2);
    if (at_step <= rules.back().at_step)
      change.refuse("at_step",
                    message(at_step, " does not come after step ", rules.back().at_step, " of the change before it"));
    rules.push_back({at_step, read_rule(change, rules.back().request)});
  }
  return rules;
}

// A name, or the rank of each stage.
Placement read_placement(const Section& parallel, const PlanShape& shape) {
  const std::string key = "placement";
  if (parallel.has(key) && !parallel.is_text(key))
    return Placement::by_hand(small_integers(parallel, key, {}, int_least));
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

std::vector<int> read_partition(const Section& parallel, int stages) {
  const std::string key = "partition";
  if (!parallel.has(key) || parallel.is_text(key)) {
    parallel.one_of(key, "balanced", {"balanced"});
    return {};
  }
  const std::vector<int> blocks = small_integers(parallel, key, {}, 1);
  if (static_cast<int>(blocks.size()) != stages)
    parallel.refuse(key, message("has ", blocks.size(), " entries for ", stages,
                                 " stages; write \"balanced\", or the number of blocks of each stage"));
  return blocks;
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

// [[parallel.batch_change]]: from step at_step on a step has so many microbatches; at most parallel.microbatches.
std::vector<BatchPhase> read_phases(const Section& parallel, int most) {
  std::vector<BatchPhase> phases;
  for (const Section& change : parallel.sections("batch_change")) {
    const int64_t before = phases.empty() ? 0 : phases.back().at_step;
    const int64_t at_step = change.integer("at_step", 1, 1);
    if (at_step <= before)
      change.refuse("at_step", message(at_step, " does not come after step ", before, " of the change before it"));
    phases.push_back({at_step, change.integer("microbatches", most, 1, most)});
  }
  return phases;
}

void read_parallel(RunSettings& settings) {
  const Section parallel = settings.config.section("parallel");
  settings.shape = read_shape(settings.config, parallel);
  settings.microbatch_size = parallel.integer("microbatch_size", 2, 1, int_most);
  settings.schedule = parallel.one_of("schedule", "wavefront", Schedules::instance().names());
  settings.transport = parallel.one_of("transport", "auto", {"auto", "loopback", "mpi"});
  settings.threads = threads_of(small_integer(parallel, "threads", 1, 0, 4096), settings.shape);
  settings.partition = read_partition(parallel, settings.shape.stages);
  settings.phases = read_phases(parallel, settings.shape.microbatches);
  settings.shard_optimizer = parallel.flag("shard_optimizer", false);
}

void read_checkpoint(RunSettings& settings) {
  const Section checkpoint = settings.config.section("checkpoint");
  settings.checkpoint_every = checkpoint.integer("every", 100, 0);
  settings.checkpoint_keep = checkpoint.integer("keep", 3, 1);
  settings.stop_seconds = checkpoint.integer("stop_seconds", 60, 1, 1 << 30);
}

Precision read_precision(const Section& run) {
  const std::string name = run.one_of("precision", "float32", {"float32", "float64", "bf16"});
  return name == "bf16" ? Precision::bf16 : name == "float64" ? Precision::float64 : Precision::float32;
}

Recompute read_recompute(const Section& run) {
  const std::string name = run.one_of("recompute", "none", {"none", "block", "stage"});
  return name == "block" ? Recompute::block : name == "stage" ? Recompute::stage : Recompute::none;
}

void read_run(RunSettings& settings) {
  const Section run = settings.config.section("run");
  settings.steps = run.integer("steps", 20, 0);
  settings.seed = static_cast<uint64_t>(run.integer("seed", 1, 0));
  settings.folder = run.text("folder", "runs/tiny");
  if (settings.folder.empty()) run.refuse("folder", "is empty; name the folder that the run writes to");
  settings.weights = run.text("weights", "");
  settings.evaluate_every = run.integer("evaluate_every", 10, 0);
  settings.evaluate_sequences = run.integer("evaluate_sequences", 64, 1);
  settings.trace_steps = run.integer("trace_steps", 20, 0);
  settings.precision = read_precision(run);
  settings.recompute = read_recompute(run);
}

}  // namespace

RunSettings read_settings(Config config) {
  using ModelNames = Registry<Model, const ModelSettings&>;  // as in models/model.h, which costs seconds to include
  for (const char* name :
       {"model", "tokenizer", "data", "objective", "learning", "parallel", "optimizer", "checkpoint", "run"})
    config.section(name);
  const Section learning = config.section("learning"), optimizer = config.section("optimizer");
  RunSettings settings{
      .config = config,
      .model_name = config.section("model").one_of("name", "roberta", ModelNames::instance().names()),
      .dataset_name = config.section("data").one_of("name", "text", Datasets::instance().names()),
      .rules = read_rules(learning),
      .shape = {},
      .phases = {},
      .schedule = "",
      .transport = "",
      .partition = {},
      .optimizer_name = optimizer.one_of("name", "adamw", Optimizers::instance().names()),
      .folder = "",
      .weights = "",
  };
  settings.heads =
      learning.one_of("heads", "needed", {"needed", "all"}) == "all" ? HeadPolicy::all : HeadPolicy::needed;
  settings.head_kind = learning.text("head", "linear");
  settings.refresh_every = learning.integer("refresh_every", 10, 1);
  read_parallel(settings);
  settings.clip = optimizer.number("clip", preset_number(optimizer, "clip", 1.0), 0.0);
  settings.clip_scope = optimizer.one_of("clip_scope", "auto", {"auto", "stage", "model"});
  read_checkpoint(settings);
  read_run(settings);
  return settings;
}

BatchShape RunSettings::batch_shape() const { return {shape.replicas, shape.microbatches, microbatch_size}; }

// Asked for here only where it stands: a model that cannot tie must not seem to know the key.
bool RunSettings::tied() const {
  const Section model = config.section("model");
  return model.has("tie_embeddings") && model.flag("tie_embeddings", false);
}

PlanRequest plan_request(const RunSettings& settings, size_t change) {
  assert(change < settings.rules.size());
  PlanRequest request;
  request.shape = settings.shape;
  const auto rule = [&] { return make_rule(settings.rules[change].request, settings.shape.stages); };
  request.rule = placing_key(settings.config, rule, change);
  request.heads = settings.heads;
  request.schedule = settings.schedule;
  request.tied = settings.tied();
  if (request.tied && settings.clip > 0 && settings.clip_scope == "stage")
    settings.config.section("optimizer")
        .refuse("clip_scope",
                "cannot be \"stage\" with tied embeddings: first and last stage would clip the tensor they "
                "share by different norms; use \"auto\" or \"model\"");
  // Tied embeddings make every step flush, so a norm over the model costs no further waiting.
  const bool together = request.tied || couples_all_stages(request.rule);
  request.norm_over_model =
      settings.clip > 0 && (settings.clip_scope == "model" || (settings.clip_scope == "auto" && together));
  return request;
}

}  // namespace interlock
