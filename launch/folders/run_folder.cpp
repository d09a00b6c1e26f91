#include "launch/folders/run_folder.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <utility>

#include "launch/folders/output_folder.h"
#include "launch/folders/resume_command.h"
#include "launch/version/version.h"
#include "runtime/core/calendar.h"
#include "runtime/core/error.h"
#include "runtime/core/log.h"
#include "runtime/data/tokenizer.h"
#include "runtime/observe/pulse.h"
#include "runtime/observe/trace_part.h"
#include "runtime/storage/atomic_file.h"
#include "runtime/storage/checkpoint.h"

namespace interlock {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

const std::vector<std::string>& names_of_a_run() {
  static const std::vector<std::string> names = {
      "config.toml", "manifest.json",       "metrics.jsonl", "trace.json", "costs.json",
      "result.json", "weights.safetensors", "checkpoints",   "tokenizer",  "best.safetensors",
      "report.html", "events.jsonl",        "pulse",         "trace",      "verdict.txt"};
  return names;
}

// What a run that was killed left: a temporary file or folder beside its target.
bool is_left_over(const std::string& name) {
  const auto left_of = [&](const std::string& known) {
    return name == known + ".partial" || (name.starts_with(known + ".") && name.ends_with(".tmp"));
  };
  return std::ranges::any_of(names_of_a_run(), left_of) || name.starts_with(OutputFolder::temporary_name("tokenizer"));
}

bool is_of_a_run(const std::string& name) {
  return std::ranges::find(names_of_a_run(), name) != names_of_a_run().end() || is_left_over(name) ||
         name.starts_with("events.out.tfevents.");
}

void remove_entries(const std::string& folder, bool (*wanted)(const std::string& name)) {
  std::error_code problem;
  std::vector<fs::path> found;
  for (const auto& entry : fs::directory_iterator(folder, problem))
    if (wanted(entry.path().filename().string())) found.push_back(entry.path());
  for (const fs::path& path : found) fs::remove_all(path, problem);
}

// Whoever opens a pipe waits for somebody at its other end.
void refuse_pipes(const fs::path& folder) {
  std::error_code absent;
  for (const std::string& name : names_of_a_run())
    if (const fs::path file = folder / name; fs::is_fifo(file, absent) || fs::is_socket(file, absent))
      throw Error(ExitCode::cannot_write, message("run.folder: ", file.string(),
                                                  " is a pipe or a socket, and the run writes there; remove it"));
}

// The nearest of its parents that exists decides whether a folder can be made.
void check_can_be_made(const fs::path& path) {
  fs::path parent = fs::absolute(path).lexically_normal();
  std::error_code problem;
  while (!fs::exists(parent, problem) && parent.has_relative_path()) parent = parent.parent_path();
  if (!fs::is_directory(parent, problem))
    throw Error(ExitCode::cannot_write,
                message("run.folder: cannot create ", path.string(), ": ", parent.string(), " is not a folder"));
  if (access(parent.c_str(), W_OK | X_OK) != 0)
    throw Error(ExitCode::cannot_write, message("run.folder: ", path.string(), ": ", parent.string(),
                                                " is not writable; choose another with --set run.folder=..."));
}

// Whether the folder holds what a run leaves that was refused, or killed before its first step was done, and nothing
// that anybody could miss.
bool never_did_a_step(const fs::path& folder) {
  static const std::vector<std::string> harmless = {"config.toml", "manifest.json", "metrics.jsonl",      "pulse",
                                                    "trace",       "tokenizer",     FolderLock::file_name};
  std::error_code problem;
  for (const auto& entry : fs::directory_iterator(folder, problem)) {
    const std::string name = entry.path().filename().string();
    const bool known = std::ranges::find(harmless, name) != harmless.end() || name.starts_with("events.out.tfevents.");
    if (!known && !is_left_over(name)) return false;
  }
  // Without a manifest a config may be somebody's own; every step that is done has a line.
  return fs::is_regular_file(folder / "manifest.json", problem) &&
         fs::is_regular_file(folder / "metrics.jsonl", problem) &&
         fs::file_size(folder / "metrics.jsonl", problem) == 0;
}

// "go on with it ... or replace it", as far as there is something to go on from.
std::string ways_out(const std::string& path) {
  const std::string replace = "replace its files with --overwrite";
  std::error_code absent;
  if (!fs::is_directory(fs::path(path) / "checkpoints", absent)) return "or " + replace;
  return "go on from its newest checkpoint with: " + resume_command(path) + " - or " + replace;
}

[[noreturn]] void refuse_what_exists(const std::string& path) {
  throw Error(ExitCode::cannot_write,
              message("run.folder: ", path, " exists already and is kept; choose another with --set run.folder=..., ",
                      ways_out(path)));
}

bool holds_only_the_lock(const std::string& path) {
  std::error_code problem;
  return std::ranges::all_of(fs::directory_iterator(path, problem), [](const fs::directory_entry& entry) {
    return entry.path().filename() == FolderLock::file_name;
  });
}

json made_by() {
  const Version by = version();
  return {{"interlock", by.interlock}, {"commit", by.commit}, {"libtorch", by.libtorch}, {"mpi", by.mpi}};
}

}  // namespace

void RunFolder::check(const std::string& path, FolderUse use) {
  std::error_code problem;
  if (fs::exists(path, problem) && !fs::is_directory(path, problem))
    throw Error(ExitCode::cannot_write, message("run.folder: ", path, " exists and is not a folder"));
  if (use == FolderUse::fresh && fs::is_directory(path, problem) && !fs::is_empty(path, problem) &&
      !never_did_a_step(path))
    refuse_what_exists(path);
  if (use == FolderUse::resume) refuse_pipes(path);
  check_can_be_made(path);
}

RunFolder::RunFolder(const std::string& path, FolderUse use) : path_(path), started_(now_utc()), use_(use) {
  check(path, use);
  std::error_code problem;
  fs::create_directories(path, problem);
  if (problem)
    throw Error(ExitCode::cannot_write, message("run.folder: cannot create ", path, ": ", problem.message()));
  lock_ = std::make_unique<FolderLock>(path, started_);
  // Somebody else's first step may be under way, or done by now.
  if (use == FolderUse::fresh && !holds_only_the_lock(path) && !(lock_->holds() && never_did_a_step(path)))
    refuse_what_exists(path);
  if (use != FolderUse::resume) {
    remove_entries(path, is_of_a_run);
  } else if (lock_->holds()) {
    // Before anything is written: each kill may leave a model's size, and a disk that is nearly full needs it back.
    remove_entries(path, is_left_over);
    remove_leftovers(path);
  }
}

std::string RunFolder::file(const std::string& name) const { return (fs::path(path_) / name).string(); }

void RunFolder::write_start(const RunSettings& settings, const Dataset& dataset, RunPlace place, int64_t done) {
  place_ = std::move(place);
  config_ = settings.config.resolved();
  tokenizer_ = dataset.tokenizer();
  // Of the process before: nobody should take its ranks for ours.
  remove_entries(path_, [](const std::string& name) { return name == "pulse" || name == "trace"; });
  write_description(done == 0);  // else the manifest tells of the process before until this one has something to tell
  std::error_code ignored;
  if (done == 0) fs::remove(file("result.json"), ignored);
  metrics_ = std::make_unique<MetricsWriter>(path_, use_ == FolderUse::resume ? done : 0);
}

void RunFolder::write_description(bool with_manifest) const {
  write_atomically(file("config.toml"), config_);
  std::error_code ignored;
  fs::create_directory(trace_part_folder(path_), ignored);
  fs::create_directory(pulse_folder(path_), ignored);  // without one the ranks say so themselves
  if (with_manifest) {
    json manifest = made_by();
    manifest.update({{"started", started_}, {"device", place_.device}, {"transport", place_.transport}});
    write_atomically(file("manifest.json"), manifest.dump(2) + "\n");
  }
  keep_tokenizer();
}

void RunFolder::restore() {
  std::error_code problem;
  if (fs::exists(file("config.toml"), problem)) return;
  log_warning(message("config.toml was removed from ", path_, " while the run goes on: what --resume needs is written ",
                      "anew, what else was removed is lost"));
  fs::create_directories(path_, problem);
  if (!fs::exists(file(FolderLock::file_name), problem)) {
    lock_.reset();  // of a file that nobody finds any more
    lock_ = std::make_unique<FolderLock>(path_, started_);
  }
  write_description(!fs::exists(file("manifest.json"), problem));
}

void RunFolder::forget_earlier_result() {
  std::error_code ignored;
  if (!std::exchange(result_forgotten_, true)) fs::remove(file("result.json"), ignored);
}

void RunFolder::go_back(int64_t done) {
  metrics_.reset();  // one writer at a time
  metrics_ = std::make_unique<MetricsWriter>(path_, done);
}

// Beside the weights, so that they can be read where the config's path means nothing.
void RunFolder::keep_tokenizer() const {
  if (!tokenizer_ || fs::exists(file("tokenizer"))) return;
  OutputFolder::remove_leftovers(file("tokenizer"));
  // Whole or absent: a half one would be taken for it by every later --resume.
  OutputFolder folder(file("tokenizer"), false, {});
  tokenizer_->save(folder.file(""));
  folder.commit();
}

void RunFolder::write_end(const RunSettings& settings, const RunSummary& summary, const SimulationCosts& costs) {
  // A run that was finished already has done nothing new that could be told.
  const bool nothing_done = summary.steps > 0 && summary.steps < summary.first_step;
  if (nothing_done) return;
  restore();
  std::vector<RankTrace> traces;
  json ranks = json::array();
  for (const RankSummary& rank : summary.ranks) {
    traces.push_back(rank.trace);
    ranks.push_back({{"rank", rank.rank},
                     {"host", rank.host},
                     {"peak_rss_mib", rank.peak_rss_mib},
                     {"seconds", rank.seconds},
                     {"idle_seconds", rank.waited},
                     {"clock_offset", rank.trace.clock_offset},
                     {"clock_error", rank.trace.clock_error}});
  }
  if (summary.steps > 0) {
    write_chrome_trace(file("trace.json"), traces);
    std::error_code ignored;
    fs::remove_all(trace_part_folder(path_), ignored);
    write_atomically(file("costs.json"), costs_json(costs));
  }
  json manifest = made_by();
  manifest.update({{"device", place_.device},
                   {"transport", place_.transport},
                   {"compiler", __VERSION__},
                   {"started", started_},
                   {"ended", now_utc()},
                   {"seed", settings.seed},
                   {"steps", summary.steps},
                   {"threads_per_rank", settings.parallel.threads},
                   {"ranks", ranks}});
  write_atomically(file("manifest.json"), manifest.dump(2) + "\n");
}

void RunFolder::write_result(const std::string& json, bool replace) {
  if (!replace && fs::exists(file("result.json"))) return;
  write_atomically(file("result.json"), json + "\n");
}

std::string weights_file(const std::string& run_folder) {
  return (fs::path(run_folder) / "weights.safetensors").string();
}

std::string costs_json(const SimulationCosts& costs) {
  json stages = json::array();
  for (const StageCosts& stage : costs.stages)
    stages.push_back({{"forward", stage.forward},
                      {"input_gradient", stage.input_gradient},
                      {"weight_gradient", stage.weight_gradient},
                      {"loss", stage.loss},
                      {"update", stage.update},
                      {"message_bytes", stage.message_bytes},
                      {"activation_bytes", stage.activation_bytes},
                      {"fixed_bytes", stage.fixed_bytes},
                      {"working_bytes", stage.working_bytes},
                      {"kept_working_bytes", stage.kept_working_bytes},
                      {"loss_working_bytes", stage.loss_working_bytes},
                      {"recorded_bytes", stage.recorded_bytes},
                      {"released_bytes", stage.released_bytes},
                      {"sum_bytes", stage.sum_bytes},
                      {"head_sum_bytes", stage.head_sum_bytes},
                      {"forward_working_bytes", stage.forward_working_bytes}});
  const json all = {{"stages", stages},
                    {"seconds_per_byte", costs.seconds_per_byte},
                    {"latency", costs.latency},
                    {"tied_bytes", costs.tied_bytes}};
  return all.dump(2) + "\n";
}

}  // namespace interlock
