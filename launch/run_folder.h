#pragma once
// The folder a run leaves behind: config.toml, manifest.json, metrics.jsonl, TensorBoard events, trace.json,
// costs.json, weights.safetensors. Only rank 0 writes it.

#include <memory>
#include <string>

#include "launch/run.h"
#include "runtime/observe/metrics.h"

namespace interlock {

class RunFolder {
 public:
  // Refuses a folder that exists and is not empty unless `overwrite`; then only the files of a run are removed.
  // Error(cannot_write).
  static void check(const std::string& path, bool overwrite);
  RunFolder(const std::string& path, bool overwrite);

  void write_start(const RunSettings& settings, const std::string& transport);
  void write_end(const RunSettings& settings, const RunSummary& summary, const SimulationCosts& costs);
  MetricsWriter& metrics() { return *metrics_; }
  std::string file(const std::string& name) const;

 private:
  std::string path_, started_, transport_;
  std::unique_ptr<MetricsWriter> metrics_;
};

// {"stages": [...], "seconds_per_byte": .., "latency": ..}, as `interlock plan --costs` reads it.
std::string costs_json(const SimulationCosts& costs);

}  // namespace interlock
