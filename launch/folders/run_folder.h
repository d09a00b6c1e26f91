#pragma once
// The folder a run leaves behind: config.toml, manifest.json, metrics.jsonl, TensorBoard events, trace.json,
// costs.json, result.json, weights.safetensors, checkpoints/, tokenizer/ (of a run on tokens), lock; pulse/ and
// events.jsonl tell what happened (launch/monitor). Only rank 0 writes it, the files of checkpoints and pulses apart,
// and the supervisor its events.

#include <memory>
#include <string>

#include "launch/settings/run_settings.h"
#include "parallel/plan/simulate.h"
#include "parallel/training/run_summary.h"
#include "runtime/observe/metrics.h"
#include "runtime/storage/folder_lock.h"

namespace interlock {

enum class FolderUse {
  fresh,      // a folder that exists and is not empty is refused
  overwrite,  // the files of an earlier run, its checkpoints included, are removed; others stay
  resume,     // everything stays; metrics go on
};

// Where a run computes, and over what its messages go, for people.
struct RunPlace {
  std::string device, transport;
};

class RunFolder {
 public:
  // Error(cannot_write).
  static void check(const std::string& path, FolderUse use);
  // Holds the folder's lock as long as it lives: two runs on one folder would undo each other.
  RunFolder(const std::string& path, FolderUse use);

  // `done`: steps that an earlier process of this run has done and kept; metrics of later ones are dropped.
  void write_start(const RunSettings& settings, const Dataset& dataset, RunPlace place, int64_t done);
  void write_end(const RunSettings& settings, const RunSummary& summary, const SimulationCosts& costs);
  // What `train --json` prints. `replace`: false keeps the result of an earlier process, if there is one.
  void write_result(const std::string& json, bool replace);
  // The run goes back to the end of step `done`: metrics of later ones are dropped.
  void go_back(int64_t done);
  // What a run cannot be gone on without, written anew, with a warning, where somebody removed it while the run goes
  // on.
  void restore();
  // A step was done: what an earlier process said of its part of the run is no result of it any more.
  void forget_earlier_result();
  MetricsWriter& metrics() { return *metrics_; }
  std::string file(const std::string& name) const;

 private:
  void write_description(bool with_manifest) const;
  void keep_tokenizer() const;

  std::string path_, started_, config_;
  RunPlace place_;
  std::shared_ptr<const Tokenizer> tokenizer_;  // of a run on tokens
  FolderUse use_;
  std::unique_ptr<FolderLock> lock_;
  std::unique_ptr<MetricsWriter> metrics_;
  bool result_forgotten_ = false;
};

// Where the weights of a run lie.
std::string weights_file(const std::string& run_folder);

// {"stages": [...], "seconds_per_byte": .., "latency": ..}, as `interlock plan --costs` reads it.
std::string costs_json(const SimulationCosts& costs);

}  // namespace interlock
