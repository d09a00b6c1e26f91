#include "launch/comparison/base_config.h"

#include <algorithm>
#include <filesystem>

#include "launch/settings/parts.h"
#include "models/model.h"
#include "runtime/core/error.h"
#include "runtime/core/nearest_name.h"

namespace interlock {

namespace fs = std::filesystem;

std::vector<std::string> test_paths_of(const RunSettings& settings) {
  const Section data = settings.config.section("data");
  return data.has("test_paths") ? data.texts("test_paths", {}) : std::vector<std::string>();
}

namespace {

void check_keys(const RunSettings& settings, const ComparisonRequest& request) {
  const auto refuse = [&](const std::string& key, const std::string& what) {
    const size_t dot = key.find('.');
    settings.config.section(key.substr(0, dot)).refuse(key.substr(dot + 1), what);
  };
  if (settings.learning.rules.size() > 1)
    refuse("learning.change", "changes the rule during a run, which a comparison cannot");
  if (settings.steps < 1) refuse("run.steps", "is 0: there is nothing to compare");
  if (!request.microbatches.empty() && settings.config.section("parallel").has("batch_change"))
    refuse("parallel.batch_change", "changes the batch during a run, and --microbatches is about batches that stay");
  const auto given = settings_of({request.config, request.overrides}, {});
  if (given.config.section("data").has("held_out_part"))
    refuse("data.held_out_part", "is set by the comparison, which needs both halves");
}

// What is trained on or tuned on says nothing when it is tested.
void check_test_apart(const RunSettings& settings) {
  const Section data = settings.config.section("data");
  std::error_code absent;
  for (const std::string& test : test_paths_of(settings))
    for (const char* key : {"paths", "validation_paths"})
      for (const std::string& path : data.texts(key, {})) {
        const fs::path outer = fs::weakly_canonical(path, absent), inner = fs::weakly_canonical(test, absent);
        if (std::mismatch(outer.begin(), outer.end(), inner.begin(), inner.end()).first != outer.end()) continue;
        data.refuse("test_paths", message(test, " also lies in data.", key, " (", path,
                                          "); what is trained on or tuned on says nothing when it is tested"));
      }
}

// A cut finer than the model has units.
void check_stages(const ComparisonRequest& request, const RunSettings& settings) {
  if (request.stages.empty()) return;
  const int64_t units = make_model(settings, *make_dataset(settings))->units();
  for (const int stages : request.stages)
    if (stages > units)
      throw Error(ExitCode::config,
                  message("--stages: ", stages, ": the model has ", units, " units to cut, so at most as many stages"));
}

}  // namespace

BaseConfig base_config(const ComparisonRequest& request) {
  std::vector<std::string> all = request.overrides;
  if (request.steps > 0) all.push_back(message("run.steps=", request.steps));
  all.emplace_back("checkpoint.keep=1");  // for an arm that is interrupted
  const RunSettings given = settings_of({request.config, {}}, all);
  if (given.evaluation.every == 0 || given.evaluation.every > given.steps)
    all.push_back(message("run.evaluate_every=", std::max<int64_t>(1, given.steps / 20)));
  if (test_paths_of(given).empty()) all.emplace_back("data.held_out_part=validation");
  if (given.parallel.balanced_for_rule) all.emplace_back("parallel.partition=balanced");
  return {request.config, all};
}

std::string note_on_cut(const ComparisonRequest& request) {
  if (!settings_of({request.config, request.overrides}, {}).parallel.balanced_for_rule) return "";
  return "The config cuts the network for its rule (parallel.partition = \"balanced_for_rule\"); rules are compared on "
         "one cut, that of \"balanced\".";
}

std::vector<int> stages_of(const ComparisonRequest& request, const RunSettings& settings) {
  return request.stages.empty() ? std::vector<int>{settings.parallel.shape.stages} : request.stages;
}

std::vector<std::string> heads_of(const ComparisonRequest& request, const RunSettings& settings) {
  if (request.heads.empty()) return {settings.learning.head_kind};
  const auto known = make_model(settings, *make_dataset(settings))->head_kinds();
  for (const std::string& head : request.heads)
    if (std::ranges::find(known, head) == known.end())
      throw Error(ExitCode::usage, "--heads: " + unknown_name("head of model " + settings.model_name, head, known));
  return request.heads;
}

void check_base(const RunSettings& settings, const ComparisonRequest& request) {
  check_keys(settings, request);
  check_test_apart(settings);
  check_stages(request, settings);
}

}  // namespace interlock
