#pragma once
// The best weights of a run so far, by a score of its evaluations; and when to end, because nothing gets better.
//
// Every rank sees the same scores, so all decide alike without a word.

#include <cstdint>
#include <map>
#include <optional>
#include <string>

namespace interlock {

struct BestSettings {
  std::string score;     // "loss", or the name of a score; "": the last weights are the run's
  int64_t patience = 0;  // evaluations without a better one after which the run ends; 0: it goes on
};

class BestWeights {
 public:
  explicit BestWeights(BestSettings settings) : settings_(std::move(settings)) {}

  bool asked() const { return !settings_.score.empty(); }
  // After an evaluation: whether the present weights are the best so far. Error(gave_up) names the scores there are
  // when this is none of them.
  bool improves(int64_t step, double loss, const std::map<std::string, double>& scores);
  bool out_of_patience() const { return settings_.patience > 0 && stale_ >= settings_.patience; }

  struct Best {
    int64_t step = 0;
    double value = 0;
    double loss = 0;  // decides between equal values: scores of few samples take few
  };
  const std::optional<Best>& best() const { return best_; }
  const BestSettings& settings() const { return settings_; }

  // What a checkpoint keeps of it, and from one.
  std::map<std::string, std::string> state() const;
  void restore(const std::map<std::string, std::string>& state);
  void forget() { best_.reset(); }

 private:
  BestSettings settings_;
  std::optional<Best> best_;
  int64_t stale_ = 0;
};

// Where the best weights of a run lie while it goes on, beside its weights file.
std::string best_weights_path(const std::string& weights_path);
// The step of the best weights that lie there, or that a run that ended has made its own.
std::optional<int64_t> kept_best_step(const std::string& weights_path);
// The run's weights are its best: the file of these, which goes, with this step in its metadata and, beside it, the
// step and the value of the best. What was taken over before stays. Error(bad_input, cannot_write).
void take_over_best(const std::string& weights_path, int64_t last_step, const BestWeights& best);

// Metadata of such a weights file.
inline constexpr const char* best_step_metadata = "interlock.best_step";

}  // namespace interlock
