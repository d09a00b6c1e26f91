#include "launch/run/resume.h"

#include <algorithm>
#include <charconv>
#include <set>

#include "launch/folders/run_folder.h"
#include "launch/run/data_identity.h"
#include "launch/run/schedule_changes.h"
#include "launch/settings/parts.h"
#include "runtime/core/log.h"
#include "runtime/core/nearest_name.h"
#include "runtime/core/readable_file.h"
#include "runtime/observe/last_step.h"

namespace interlock {
namespace {

// Another value makes another network, another order of samples, or state that does not fit. Where the data lies may
// change; that it is the same data is looked at.
bool must_stay(const std::string& key) {
  static const std::set<std::string> free_to_change = {"model.dropout", "model.attention_dropout", "model.frozen",
                                                       "data.paths",    "data.validation_paths",   "tokenizer.path"};
  if (free_to_change.contains(key)) return false;
  if (key == "run.seed" || key == "optimizer.name" || key.starts_with("technique[")) return true;
  const std::string section = key.substr(0, key.find('.'));
  return section == "model" || section == "data" || section == "objective" || section == "tokenizer";
}

std::string names_of(const TechniqueList& techniques) {
  std::vector<std::string> names;
  for (const auto& technique : techniques) names.push_back(technique->name());
  return names.empty() ? "none" : join(names);
}

// One after another, as they act.
void check_techniques(const RunSettings& settings, const TechniqueList& before, const std::string& checkpoint) {
  const std::string now = names_of(settings.techniques), then = names_of(before);
  if (now == then) return;
  throw Error(
      ExitCode::config,
      message(settings.config.file(), ": cannot go on from ", checkpoint, ", which was trained with techniques (", then,
              "), with techniques (", now, "): it would be another way of training. Write the [[technique]] ",
              "tables as they were, or start anew in another run.folder (run.weights takes over the weights)"));
}

// A run writes its weights at its end: beginning again would replace what a whole training has made.
void check_nothing_is_lost(const std::string& run_folder) {
  const std::string weights = weights_file(run_folder);
  if (!is_named(weights)) return;
  throw Error(
      ExitCode::bad_input,
      message(weights, " is there, the end of a run, and no checkpoint that it could be gone on from. Nothing was ",
              "changed. Train on from these weights in another run.folder with --set run.weights=", run_folder,
              ", or start over with --overwrite, which replaces them"));
}

// A run that has come further than two checkpoints had at least one, for the second is not begun before the first is
// whole.
void check_none_is_missed(const std::string& run_folder) {
  const std::string config = run_folder + "/config.toml";
  const int64_t step = last_step_told(run_folder);
  if (step == 0 || !is_regular_file(config)) return;
  int64_t every = 0;
  try {
    every = Config::from_file(config).section("checkpoint").integer("every", 0, 0);
  } catch (const Error&) {
    return;  // what is wrong with it is said by who needs it
  }
  if (every == 0 || (step - 1) / 2 < every) return;
  throw Error(ExitCode::bad_input,
              message(run_folder, "/metrics.jsonl tells of step ", step, ", and checkpoint.every was ", every, ", but ",
                      checkpoints_folder(run_folder), " holds no checkpoint: they were removed, or could not be ",
                      "written. Nothing was changed. Put one back, or start over with --overwrite"));
}

std::string value_or_none(const std::map<std::string, std::string>& values, const std::string& key) {
  const auto found = values.find(key);
  return found == values.end() ? "not set" : found->second;
}

// Of a key in an array of tables that has this element on one side only: the element, "learning.change[0]", which is
// told of as a whole; else "".
std::string table_of_one_side(const std::string& key, const std::map<std::string, std::string>& before,
                              const std::map<std::string, std::string>& now) {
  const size_t bracket = key.rfind("].");
  if (bracket == std::string::npos) return "";
  const std::string table = key.substr(0, bracket + 1);
  const auto has = [&](const std::map<std::string, std::string>& values) {
    const auto first = values.lower_bound(table + ".");
    return first != values.end() && first->first.starts_with(table + ".");
  };
  return has(before) && has(now) ? "" : table;
}

}  // namespace

std::string find_checkpoint(const std::string& run_folder, std::vector<std::string>* faults) {
  return newest_whole_checkpoint(run_folder,
                                 [&](const std::string& reason) {
                                   log_warning("a checkpoint is passed over: " + reason);
                                   if (faults != nullptr) faults->push_back(reason);
                                 })
      .value_or("");
}

std::string checkpoint_to_resume(const std::string& run_folder) {
  std::vector<std::string> faults;
  const std::string found = find_checkpoint(run_folder, &faults);
  for (const std::string& path : no_checkpoint_folders(run_folder))
    faults.push_back(path + ": has the name of a checkpoint, and is no folder");
  if (found.empty() && faults.empty()) {
    check_nothing_is_lost(run_folder);
    check_none_is_missed(run_folder);
  }
  if (!found.empty() || faults.empty()) return found;
  std::string each;
  for (const std::string& fault : faults) each += "\n  " + fault;
  throw Error(
      ExitCode::bad_input,
      message(checkpoints_folder(run_folder), ": there are checkpoints, but none to go on from:", each,
              "\nNothing was changed. Put a whole one back, or start over with --overwrite, which removes them"));
}

std::vector<std::string> check_changes(const RunSettings& settings, const Dataset& dataset,
                                       const Checkpoint& checkpoint) {
  std::map<std::string, std::string> before;
  TechniqueList techniques;
  std::string schedule;
  try {
    RunSettings old = read_settings(Config::from_text(checkpoint.manifest().config));
    check_settings(old);
    before = old.config.resolved_values();
    techniques = old.techniques;
    schedule = schedule_changes(old, settings, checkpoint.manifest().step);
  } catch (const Error& error) {
    throw Error(ExitCode::bad_input,
                message(checkpoint.folder(), "/manifest.json: the config of the run in it: ", error.what()));
  }
  check_techniques(settings, techniques, checkpoint.folder());
  const std::map<std::string, std::string> now = settings.config.resolved_values();
  std::set<std::string> keys;
  for (const std::map<std::string, std::string>* values : {&std::as_const(before), &now})
    for (const auto& [key, value] : *values) keys.insert(key);
  std::vector<std::string> refused, changed;
  for (const std::string& key : keys) {
    const std::string old_value = value_or_none(before, key), new_value = value_or_none(now, key);
    if (old_value == new_value) continue;
    const std::string table = table_of_one_side(key, before, now);
    std::string what = message(table.empty() ? key : table, " (",
                               table.empty()          ? message(old_value, " -> ", new_value)
                               : before.contains(key) ? "removed"
                                                      : "new",
                               ")");
    std::vector<std::string>& list = must_stay(key) ? refused : changed;
    if (list.empty() || list.back() != what) list.push_back(std::move(what));
  }
  if (!refused.empty())
    throw Error(ExitCode::config, message(settings.config.file(), ": cannot go on from ", checkpoint.folder(),
                                          " with another ", join(refused),
                                          ": it would be another network, another order of samples or another "
                                          "technique. Set the old value, or start anew in "
                                          "another run.folder (run.weights takes over the weights)"));
  check_same_data(settings, dataset, checkpoint);
  if (!schedule.empty()) changed.push_back(schedule);
  return changed;
}

DataPosition data_position(const Checkpoint& checkpoint) {
  const CheckpointManifest& manifest = checkpoint.manifest();
  const auto found = manifest.state.find("samples");
  int64_t samples = -1;
  if (found != manifest.state.end())
    std::from_chars(found->second.data(), found->second.data() + found->second.size(), samples);
  if (samples < 0)
    throw Error(ExitCode::bad_input,
                message(checkpoint.folder(), "/manifest.json: does not say how many samples were seen"));
  return {manifest.step, samples};
}

}  // namespace interlock
