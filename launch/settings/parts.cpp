#include "launch/settings/parts.h"

#include <algorithm>

#include "launch/settings/key_place.h"
#include "launch/settings/plans.h"
#include "models/equipped_model.h"
#include "models/frozen_model.h"
#include "models/layer_loads.h"
#include "models/model.h"
#include "parallel/plan/partition.h"
#include "parallel/plan/rule_partition.h"
#include "runtime/core/nearest_name.h"
#include "runtime/data/held_out_part.h"
#include "runtime/optimization/learning_rate.h"
#include "runtime/optimization/optimizer.h"

namespace interlock {

std::unique_ptr<Optimizer> make_optimizer(const RunSettings& settings) {
  auto made = Optimizers::instance().create("optimizer", settings.optimizer_name, settings.config.section("optimizer"));
  for (const auto& technique : settings.techniques) made = technique->around(std::move(made));
  return made;
}

namespace {

// For `compare`; a run reads no sample of them. Asked for only where it stands.
void ask_for_test_paths(const Section& data, const Dataset& dataset) {
  if (!data.has("test_paths")) return;
  if (dataset.content() == SampleContent::numbers)
    data.refuse("test_paths", "is for data that is read from files of text or tokens");
  data.texts("test_paths", {});
}

}  // namespace

std::shared_ptr<Dataset> make_dataset(const RunSettings& settings) {
  // The model, made after it, is the one that refuses a vocabulary or a length that does not fit the data.
  const DatasetSettings parts{settings.config.section("data"), settings.config.section("objective"),
                              settings.config.section("tokenizer"), settings.seed};
  std::shared_ptr<Dataset> dataset = Datasets::instance().create("dataset", settings.dataset_name, parts);
  ask_for_test_paths(parts.data, *dataset);
  return with_held_out_part(std::move(dataset), read_held_out_part(parts.data));
}

std::shared_ptr<Model> equipped(const RunSettings& settings, std::shared_ptr<Model> model) {
  if (settings.techniques.empty()) return model;
  const NetworkFacts network{settings.precision, layers_of(*model)};
  const auto insertions = [techniques = settings.techniques, network](const InsertionSite& site) {
    return insertions_at(techniques, site, network);
  };
  return equip(std::move(model), insertions, settings.seed);
}

namespace {

// Under how many of the rules that the run comes to learning.frozen names this stage, and of how many.
std::pair<int, int> rules_that_freeze(const RunSettings& settings, int stage) {
  int freeze = 0, all = 0;
  for (const auto& [at_step, request] : settings.learning.rules) {
    if (at_step > std::max<int64_t>(1, settings.steps)) continue;
    ++all;
    freeze += std::ranges::count(request.frozen, stage) > 0;
  }
  return {freeze, all};
}

bool frozen_throughout(const RunSettings& settings, int stage) {
  const auto [freeze, all] = rules_that_freeze(settings, stage);
  return freeze == all;
}

// The readout belongs to the last stage and stays as that does. The matrix that it may share with the first goes on
// learning there, unless that one is frozen too. (Local heads are no part of the model: where they run, they teach.)
Trains trains_by_stages(const RunSettings& settings, const Model& model) {
  const int last = settings.parallel.shape.stages - 1;
  if (!frozen_throughout(settings, last)) return {};
  const auto tie = model.tie();
  std::string shared = tie && frozen_throughout(settings, 0) ? tie->body : "";
  return [shared = std::move(shared)](const ParameterPlace& place) {
    return place.in_body ? place.name != shared : place.name.starts_with("heads.");
  };
}

Trains trains_by(const RunSettings& settings, const Model& model) {
  const Trains by_stages = trains_by_stages(settings, model);
  if (!choose_what_trains(settings.techniques)) return by_stages;
  return [techniques = settings.techniques, by_stages](const ParameterPlace& place) {
    return parameter_trains(techniques, place) && (!by_stages || by_stages(place));
  };
}

std::vector<NamedPatterns> names_in(const TechniqueList& techniques) {
  std::vector<NamedPatterns> all;
  for (size_t i = 0; i < techniques.size(); ++i)
    all.push_back({message("technique[", i, "].names"), techniques[i]->names()});
  return all;
}

}  // namespace

std::shared_ptr<Model> make_model(const RunSettings& settings, const Dataset& dataset) {
  const ModelSettings parts{settings.config.section("model"),
                            settings.seed,
                            dataset.classes(),
                            dataset.features(),
                            dataset.sample_length(),
                            settings.precision,
                            dataset.predicted_share(),
                            settings.parallel.unit,
                            dataset.objective(),
                            dataset.image()};
  const std::vector<std::string> patterns = parts.model.texts("frozen", {});
  std::shared_ptr<Model> model =
      placing_key(settings.config, [&] { return Models::instance().create("model", settings.model_name, parts); });
  if (!model->offers(parts.unit))
    settings.config.section("parallel")
        .refuse("unit", message("\"", name_of(parts.unit), "\" does not go with the model ", settings.model_name,
                                ", which has no ", words_of(parts.unit), "; write \"block\""));
  for (const auto& technique : settings.techniques) technique->check(*model);
  model = equipped(settings, model);
  model = placing_key(settings.config, [&] {
    return freeze(model, patterns, trains_by(settings, *model), names_in(settings.techniques));
  });
  if (!choose_layers(settings.techniques)) return model;
  return with_layer_loads(model,
                          [&](int64_t layer) { return share_of_runs(settings.techniques, layer, layers_of(*model)); });
}

bool trains_readout(const RunSettings& settings, const Model& model, const std::vector<std::string>& names) {
  const std::vector<std::string> patterns = settings.config.section("model").texts("frozen", {});
  const Trains trains = trains_by(settings, model);
  return std::ranges::any_of(names, [&](const std::string& name) {
    return !fits_any(patterns, name) && (!trains || trains({name, false, std::nullopt, false}));
  });
}

namespace {

// Asked for only where it stands: a model that cannot tie must not seem to know the key.
bool asks_for_tie(const RunSettings& settings) {
  const Section model = settings.config.section("model");
  return model.has("tie_embeddings") && model.flag("tie_embeddings", false);
}

// The loss that a readout learns from runs at every step, whatever the rule.
void check_frozen_readout(const RunSettings& settings) {
  const int last = settings.parallel.shape.stages - 1;
  const auto [freeze, all] = rules_that_freeze(settings, last);
  if (freeze == 0 || freeze == all) return;
  settings.config.section("learning")
      .refuse("frozen", message("freezes the last stage, ", last, ", under ", freeze, " of ", all,
                                " rules of the run; with it goes the readout, which is frozen throughout or not at "
                                "all: name the stage under all of them, or freeze it in a run of its own"));
}

void check_best_score(const RunSettings& settings, Objective objective) {
  std::vector<std::string> scores = scores_of(objective);
  scores.insert(scores.begin(), "none");
  if (std::ranges::find(scores, settings.evaluation.keep_best) != scores.end()) return;
  settings.config.section("run").refuse(
      "keep_best", message("the objective ", name_of(objective), " has no \"", settings.evaluation.keep_best,
                           "\"; it has ", join(scores)));
}

}  // namespace

std::vector<std::string> scores_of(Objective objective) {
  if (objective == Objective::classification) return {"loss", "accuracy", "f1", "matthews"};
  if (objective == Objective::regression) return {"loss", "spearman", "pearson", "squared_error"};
  return {"loss"};
}

void check_settings(const RunSettings& settings) {
  const auto dataset = make_dataset(settings);
  const auto model = make_model(settings, *dataset);
  const auto kinds = model->head_kinds();
  if (std::find(kinds.begin(), kinds.end(), settings.learning.head_kind) == kinds.end())
    settings.config.section("learning")
        .refuse("head", unknown_name("head of model " + settings.model_name, settings.learning.head_kind, kinds));
  if (asks_for_tie(settings) && !model->tie())
    settings.config.section("model").refuse("tie_embeddings",
                                            message("this model has no tensors that could be tied, as a readout of the "
                                                    "vocabulary (objective.name = \"masked\" or \"causal\") has; write "
                                                    "false"));
  check_best_score(settings, dataset->objective());
  check_frozen_readout(settings);
  make_partition(settings, *model);
  const Section optimizer = settings.config.section("optimizer");
  make_optimizer(settings);
  LearningRate::Config::from(optimizer, settings.steps);
  for (size_t change = 0; change < settings.learning.rules.size(); ++change) plan_request(settings, *model, change);
  settings.config.reject_unknown();
}

namespace {

std::vector<int> cut_for_rule(const RunSettings& settings, const Model& model) {
  const int stages = settings.parallel.shape.stages;
  const int64_t samples = settings.parallel.batch.microbatch_size;
  RulePartition given{.units = model.unit_costs(samples),
                      .readout = model.readout_costs(samples),
                      .heads_above = {},
                      .rules = {},
                      .heads = settings.learning.heads};
  for (int64_t below = 1; below < model.units(); ++below)
    given.heads_above.push_back(model.head_costs_above(settings.learning.head_kind, below, samples));
  const auto& rules = settings.learning.rules;
  for (size_t change = 0; change < rules.size(); ++change) {
    given.rules.push_back(rules[change].request);
    placing_key(
        settings.config, [&] { make_rule(rules[change].request, stages); }, change);
  }
  return placing_key(settings.config,
                     [&] { return partition_for_rule(given, stages, words_of(settings.parallel.unit)); });
}

}  // namespace

std::vector<int> make_partition(const RunSettings& settings, const Model& model) {
  const ParallelSettings& parallel = settings.parallel;
  if (parallel.balanced_for_rule) return cut_for_rule(settings, model);
  const std::string words = words_of(parallel.unit);
  return placing_key(settings.config, [&] {
    const int stages = parallel.shape.stages;
    const int64_t samples = parallel.batch.microbatch_size;
    if (parallel.partition.empty())
      return balanced_partition(model.unit_costs(samples), model.readout_costs(samples), stages, words);
    check_partition(parallel.partition, static_cast<int>(model.units()), stages, words);
    return parallel.partition;
  });
}

}  // namespace interlock
