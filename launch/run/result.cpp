#include "launch/run/result.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "launch/folders/run_folder.h"
#include "runtime/storage/safetensors.h"
#include "runtime/storage/weights.h"

namespace interlock {
namespace {

using nlohmann::json;

template <class T>
json or_null(const std::optional<T>& value) {
  return value ? json(*value) : json();
}

void add_rank(RunResult& result, const RankSummary& rank) {
  for (size_t k = 0; k < result.boundaries.size(); ++k) {
    result.boundaries[k].forward += rank.counters.forward[k];
    result.boundaries[k].backward += rank.counters.backward[k];
  }
  result.messages += rank.counters.messages;
  result.bytes_sent += rank.counters.bytes;
  result.peak_rss_mib.push_back(rank.peak_rss_mib);
  result.checkpoint_seconds = std::max(result.checkpoint_seconds, rank.checkpoint_seconds);
  result.loader_seconds = std::max(result.loader_seconds, rank.loader_seconds);
}

}  // namespace

RunResult result_of(const RunSettings& settings, const RunSummary& summary, const Dataset& dataset) {
  RunResult result;
  result.run = settings.folder;
  result.ending = summary.ending;
  result.steps = summary.steps;
  result.performed = summary.steps - summary.first_step + 1;
  if (result.performed > 0) result.loss = summary.loss;
  result.validation_loss = summary.validation_loss;
  if (result.validation_loss) result.unigram_baseline = dataset.unigram_baseline(settings.evaluation.sequences);
  result.validation_scores = summary.validation_scores;
  result.validation_step = summary.validation_step;
  result.not_kept = summary.not_kept;
  result.majority_baseline = summary.majority_baseline;
  result.techniques = summary.techniques;
  result.best_step = summary.best_step;
  result.best_value = summary.best_value;
  result.ended_early = summary.ended_early;
  result.left_out = summary.divergences.left_out();
  result.rewinds = summary.divergences.rewinds();
  result.unit = dataset.unit();
  result.tokens_per_second = summary.tokens_per_second;
  result.idle_share = summary.idle_share;
  result.seconds = summary.seconds;
  result.links = settings.parallel.links;
  result.boundaries.resize(static_cast<size_t>(std::max(0, settings.parallel.shape.stages - 1)));
  for (const RankSummary& rank : summary.ranks) add_rank(result, rank);
  if (!result.stopped()) result.digest = weights_digest(*SafetensorsFile::open(weights_file(settings.folder)));
  return result;
}

std::string to_json(const RunResult& result) {
  json boundaries = json::array();
  for (const auto& [forward, backward] : result.boundaries)
    boundaries.push_back({{"forward", forward}, {"backward", backward}});
  json all = {{"run", result.run},
              {"steps", result.steps},
              {"performed", result.performed},
              {"stopped", result.stopped()},
              {"loss", or_null(result.loss)},
              {"validation_loss", or_null(result.validation_loss)},
              {"unigram_baseline", or_null(result.unigram_baseline)},
              {"tokens_per_second", result.tokens_per_second},
              {"idle_share", result.idle_share},
              {"seconds", result.seconds},
              {"peak_rss_mib", result.peak_rss_mib},
              {"messages", result.messages},
              {"messages_per_boundary", boundaries},
              {"bytes_sent", result.bytes_sent},
              {"checkpoint_seconds", result.checkpoint_seconds},
              {"loader_seconds", result.loader_seconds},
              {"left_out_steps", result.left_out},
              {"rewinds", result.rewinds},
              {"digest", or_null(result.digest)}};
  if (result.validation_loss) all["validation_step"] = result.validation_step;
  if (!result.not_kept.empty()) all["not_kept"] = result.not_kept;
  if (result.links.slowed())
    all["slowed_links"] = {{"bandwidth", result.links.bandwidth}, {"latency", result.links.latency}};
  if (!result.validation_scores.empty()) all["validation_scores"] = result.validation_scores;
  if (result.majority_baseline) {
    all["accuracy"] = result.validation_scores.at("accuracy");
    all["majority_baseline"] = *result.majority_baseline;
  }
  if (!result.techniques.empty()) all["techniques"] = result.techniques;
  if (result.best_step) {
    all["best_step"] = *result.best_step;
    all["best_value"] = result.best_value;
    all["ended_early"] = result.ended_early;
  }
  return all.dump(-1, ' ', false, decltype(all)::error_handler_t::replace);
}

}  // namespace interlock
