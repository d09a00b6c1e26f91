// Names and defaults of keys are those of configs/tiny.toml.
#include "launch/settings/run_settings.h"

#include "runtime/core/registry.h"
#include "runtime/optimization/optimizer.h"

namespace interlock {

class Model;
struct ModelSettings;

namespace {

Recompute read_recompute(const Section& run) {
  const std::string name = run.one_of("recompute", "none", {"none", "block", "stage"});
  return name == "block" ? Recompute::block : name == "stage" ? Recompute::stage : Recompute::none;
}

DivergenceSettings read_divergence(const Section& run, const CheckpointPolicy& checkpoint) {
  const std::string name = run.one_of("on_divergence", "stop", {"stop", "skip", "rewind"});
  if (name == "rewind" && checkpoint.every == 0)
    run.refuse("on_divergence", "goes back to a checkpoint, and checkpoint.every is 0: none is written");
  return {name == "skip"     ? OnDivergence::skip
          : name == "rewind" ? OnDivergence::rewind
                             : OnDivergence::stop,
          run.integer("divergence_limit", 3, 1)};
}

void read_run(const Section& run, RunSettings& settings) {
  settings.steps = run.integer("steps", 20, 0);
  settings.seed = static_cast<uint64_t>(run.integer("seed", 1, 0));
  settings.device = run.one_of("device", "auto", {"auto", "cpu", "cuda"});
  settings.folder = run.text("folder", "runs/tiny");
  if (settings.folder.empty()) run.refuse("folder", "is empty; name the folder that the run writes to");
  settings.weights = run.text("weights", "");
  settings.evaluation = EvaluationSettings::from(run);
  settings.trace_steps = run.integer("trace_steps", 20, 0);
  settings.divergence = read_divergence(run, settings.checkpoint);
  settings.precision = read_precision(run);
  settings.recompute = read_recompute(run);
}

}  // namespace

EvaluationSettings EvaluationSettings::from(const Section& run) {
  EvaluationSettings settings{
      run.integer("evaluate_every", 10, 0), run.integer("evaluate_sequences", 64, 1),
      run.one_of("keep_best", "none",
                 {"none", "loss", "accuracy", "f1", "matthews", "spearman", "pearson", "squared_error"}),
      run.integer("patience", 0, 0)};
  if (settings.keep_best != "none" && settings.every == 0)
    run.refuse("keep_best", "needs evaluations, and run.evaluate_every is 0");
  if (settings.patience > 0 && settings.keep_best == "none")
    run.refuse("patience", "needs run.keep_best, which says what is to get better");
  return settings;
}

RunSettings read_settings(Config config) {
  using ModelNames = Registry<Model, const ModelSettings&>;  // as in models/model.h, which costs seconds to include
  for (const char* name :
       {"model", "tokenizer", "data", "objective", "learning", "parallel", "optimizer", "checkpoint", "monitor", "run"})
    config.section(name);
  const Section optimizer = config.section("optimizer");
  RunSettings settings{
      .config = config,
      .model_name = config.section("model").one_of("name", "roberta", ModelNames::instance().names()),
      .dataset_name = config.section("data").one_of("name", "text", Datasets::instance().names()),
      .learning = LearningSettings::from(config.section("learning")),
      .optimizer_name = optimizer.one_of("name", "adamw", Optimizers::instance().names()),
      .parallel = ParallelSettings::from(config),
      .clip = {},
      .checkpoint = {},
      .monitor = {},
      .device = "auto",
      .folder = "",
      .weights = "",
      .evaluation = {},
      .divergence = {},
  };
  settings.clip = ClipSettings::from(optimizer);
  settings.checkpoint = CheckpointPolicy::from(config.section("checkpoint"));
  settings.monitor = MonitorSettings::from(config.section("monitor"));
  read_run(config.section("run"), settings);
  settings.techniques = read_techniques(config);
  return settings;
}

}  // namespace interlock
