#pragma once
// What a run does about steps whose loss or gradient is not finite, and how often it has done so: decided on every rank
// from what all of them know, so that none does otherwise. Free of LibTorch.

#include <cstdint>
#include <map>
#include <string>

namespace interlock {

enum class OnDivergence {
  stop,    // the run ends (exit code 70)
  skip,    // the step's update is left out, on all ranks
  rewind,  // the run goes back to its newest whole checkpoint, and on with the data behind this step
};

struct DivergenceSettings {
  OnDivergence policy = OnDivergence::stop;
  int64_t limit = 3;  // steps left out one after another, or rewinds of the run in all
};

class DivergenceRecord {
 public:
  explicit DivergenceRecord(DivergenceSettings settings = {}) : settings_(settings) {}
  OnDivergence policy() const { return settings_.policy; }
  bool looks() const { return settings_.policy != OnDivergence::stop; }

  // After each step; `finite`: whether it was. False: once more is not allowed.
  bool take(bool finite);
  int64_t left_out() const { return left_out_; }  // steps
  int64_t rewinds() const { return rewinds_; }
  // Why the run gives up when take() has said so.
  std::string why() const;

  // For the manifest of a checkpoint; empty where nothing ever happened.
  std::map<std::string, std::string> state() const;
  // Of the checkpoint that a run goes on from. A rewind knows more than the checkpoint that it goes back to: it stays.
  void restore(const std::map<std::string, std::string>& state);

 private:
  DivergenceSettings settings_;
  int64_t left_out_ = 0, in_a_row_ = 0, rewinds_ = 0;
};

}  // namespace interlock
