#include "parallel/keeping/best_weights.h"

#include <charconv>
#include <filesystem>
#include <limits>
#include <vector>

#include "runtime/core/error.h"
#include "runtime/core/nearest_name.h"
#include "runtime/observe/scores.h"
#include "runtime/storage/content_hash.h"
#include "runtime/storage/safetensors.h"
#include "runtime/storage/weights_set.h"

namespace interlock {
namespace {

constexpr const char *step_state = "best.step", *value_state = "best.value", *stale_state = "best.stale",
                     *score_state = "best.score", *loss_state = "best.loss";

template <class Number>
bool read(const std::map<std::string, std::string>& state, const char* name, Number& number) {
  const auto found = state.find(name);
  if (found == state.end()) return false;
  const std::string& text = found->second;
  return std::from_chars(text.data(), text.data() + text.size(), number).ec == std::errc();
}

// So that it reads back to the same bits.
std::string exact(double value) {
  char text[64];
  return {text, std::to_chars(text, text + sizeof text, value).ptr};
}

}  // namespace

bool BestWeights::improves(int64_t step, double loss, const std::map<std::string, double>& scores) {
  if (!asked()) return false;
  const auto found = scores.find(settings_.score);
  if (found == scores.end() && settings_.score != "loss") {
    std::vector<std::string> names{"loss"};
    for (const auto& [name, value] : scores) names.push_back(name);
    throw Error(ExitCode::gave_up,
                message("run.keep_best: ", unknown_name("score of this objective", settings_.score, names)));
  }
  const double value = found == scores.end() ? loss : found->second;
  const bool better = !best_ || (value == best_->value              ? loss < best_->loss
                                 : lower_is_better(settings_.score) ? value < best_->value
                                                                    : value > best_->value);
  stale_ = better ? 0 : stale_ + 1;
  if (better) best_ = Best{step, value, loss};
  return better;
}

std::map<std::string, std::string> BestWeights::state() const {
  if (!best_) return {};
  return {{score_state, settings_.score},
          {step_state, std::to_string(best_->step)},
          {value_state, exact(best_->value)},
          {loss_state, exact(best_->loss)},
          {stale_state, std::to_string(stale_)}};
}

// Under another score what was best before says nothing.
void BestWeights::restore(const std::map<std::string, std::string>& state) {
  const auto score = state.find(score_state);
  if (!asked() || score == state.end() || score->second != settings_.score) return;
  Best best;
  int64_t stale = 0;
  if (!read(state, step_state, best.step) || !read(state, value_state, best.value) || !read(state, stale_state, stale))
    return;
  // Checkpoints of before know none: what is only as good is then no better.
  if (!read(state, loss_state, best.loss)) best.loss = -std::numeric_limits<double>::infinity();
  best_ = best;
  stale_ = stale;
}

std::string best_weights_path(const std::string& weights_path) {
  return (std::filesystem::path(weights_path).parent_path() / "best.safetensors").string();
}

std::optional<int64_t> kept_best_step(const std::string& weights_path) {
  const std::string best = best_weights_path(weights_path);
  if (std::filesystem::exists(best)) return stored_step(SafetensorsFile::open(best)->metadata());
  if (!std::filesystem::exists(weights_path)) return std::nullopt;
  int64_t step = 0;
  if (!read(SafetensorsFile::open(weights_path)->metadata(), best_step_metadata, step)) return std::nullopt;
  return step;
}

void take_over_best(const std::string& weights_path, int64_t last_step, const BestWeights& best) {
  const std::string kept = best_weights_path(weights_path);
  const std::string& from = std::filesystem::exists(kept) ? kept : weights_path;
  {
    const auto file = SafetensorsFile::open(from);
    require_content(*file);  // what has changed would get a fresh hash
    auto metadata = file->metadata();
    metadata[step_metadata] = std::to_string(last_step);
    metadata[best_step_metadata] = std::to_string(best.best()->step);
    metadata["interlock.best." + best.settings().score] = exact(best.best()->value);
    std::vector<TensorEntry> entries(file->tensors().begin(), file->tensors().end());
    SafetensorsWriter writer(weights_path, entries, metadata);
    for (const TensorEntry& entry : writer.order()) writer.write(entry.name, file->bytes(*file->find(entry.name)));
    writer.commit();
  }
  std::error_code ignored;
  std::filesystem::remove(kept, ignored);
}

}  // namespace interlock
