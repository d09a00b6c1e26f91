#pragma once
// What rank 0 writes while a run goes on: metrics.jsonl (one JSON object per step) and TensorBoard event files.

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace interlock {

struct StepMetrics {
  int64_t step = 0;
  double loss = 0;               // of the last stage: sum over predicted positions / their count
  std::map<int, double> losses;  // per head: stage -> loss
  double learning_rate = 0;
  double gradient_norm = 0;
  std::map<int, double> gradient_norms;  // per stage, before clipping; the last one's with the readout
  double tokens_per_second = 0;
  double idle_share = 0;
  std::optional<double> validation_loss;
  std::map<int, double> validation_losses;          // per head, as `losses`
  std::map<std::string, double> validation_scores;  // of classes or scores, by name (scores.h)
  std::map<std::string, double> techniques;         // what techniques tell of themselves, as TECHNIQUE.NUMBER
};

class MetricsWriter {
 public:
  // Creates FOLDER/metrics.jsonl and FOLDER/events.out.tfevents.<time>.<host>. Each record is flushed when written.
  // `done` > 0: the run goes on after that step; lines of metrics.jsonl up to it stay, later ones are dropped.
  // TensorBoard is told to forget what events files beside this one have of later steps, at every start. What is
  // written tells its time (UTC) and the seconds since the run began, which go on where the last line that stays ends.
  explicit MetricsWriter(const std::string& folder, int64_t done = 0);
  ~MetricsWriter();
  void write(const StepMetrics& metrics);  // Error(cannot_write) when the disk is full

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// TensorBoard's record framing: u64 length, masked CRC32C of it, payload, masked CRC32C of the payload. Exposed for
// tests.
std::string tensorboard_record(const std::string& payload);
std::string tensorboard_scalar_event(double wall_time, int64_t step,
                                     const std::vector<std::pair<std::string, double>>& scalars);

}  // namespace interlock
