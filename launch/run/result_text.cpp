#include "launch/run/result_text.h"

#include <sstream>

#include "launch/folders/resume_command.h"
#include "launch/folders/run_folder.h"
#include "launch/run/class_table.h"
#include "runtime/core/error.h"
#include "runtime/storage/checkpoint.h"

namespace interlock {
namespace {

std::string held_out_text(const RunResult& result) {
  std::ostringstream text;
  text << std::fixed;
  text.precision(3);
  const Scores& scores = result.validation_scores;
  // A run that stops has mostly gone on since its last evaluation.
  const std::string when =
      result.validation_step == result.steps ? "" : message(" after step ", result.validation_step);
  if (result.majority_baseline) {
    text << class_table("Held out" + when, {scores.at("accuracy"), *result.validation_loss, *result.majority_baseline,
                                            result.unigram_baseline});
    for (const auto& [name, value] : scores)
      if (name != "accuracy") text << (name == "f1" ? "  " : ", ") << name << " " << value;
    text << "\n";
    return text.str();
  }
  text << "Held-out loss" << when << (when.empty() ? " " : ": ") << *result.validation_loss
       << (scores.contains("squared_error") ? " (squared error); guessing the mean gives "
           : scores.empty()                 ? " nats per target; the unigram baseline on the same targets is "
                                            : " nats per target; the frequencies of the classes alone give ")
       << *result.unigram_baseline << "\n";
  for (const auto& [name, value] : scores)
    text << (name == scores.begin()->first ? "Held out: " : ", ") << name << " " << value;
  if (!scores.empty()) text << "\n";
  return text.str();
}

}  // namespace

std::string text_of(const RunResult& result, int64_t steps_asked) {
  std::ostringstream text;
  text << std::fixed;
  text.precision(3);
  if (result.steps == 0) text << "Wrote the start values\n";
  if (result.steps > 0 && result.performed <= 0)
    text << "Nothing was left to do: step " << result.steps << " is done\n";
  if (result.loss)
    text << "Trained " << result.performed << " steps in " << result.seconds << " s: loss " << *result.loss << ", "
         << static_cast<int64_t>(result.tokens_per_second) << " " << result.unit << "/s, ranks idle "
         << 100 * result.idle_share << " % of the time\n";
  if (result.left_out > 0)
    text << "Steps left out, as a loss or a gradient was not finite: " << result.left_out << "\n";
  if (result.rewinds > 0) text << "Went back to a checkpoint " << result.rewinds << " times\n";
  if (result.links.slowed())
    text << "Links were slowed down: parallel.link_bandwidth = " << std::defaultfloat << result.links.bandwidth
         << ", parallel.link_latency = " << result.links.latency << std::fixed << "\n";
  if (result.ending != Ending::completed)
    text << "Stopped after step " << result.steps << " of " << steps_asked << (result.stopped() ? " as asked" : "")
         << "; go on with: " << resume_command(result.run) << "\n";
  if (result.ended_early)
    text << "Ended after step " << result.steps << " of " << steps_asked << ": nothing got better in run.patience "
         << "evaluations\n";
  if (result.validation_loss) text << held_out_text(result);
  for (const auto& [name, value] : result.techniques)
    text << (name == result.techniques.begin()->first ? "Techniques: " : ", ") << name << " " << value;
  if (!result.techniques.empty()) text << "\n";
  if (result.best_step)
    text << "The weights are those of step " << *result.best_step
         << ", the best by run.keep_best: " << result.best_value << "\n";
  if (!result.stopped()) text << "Weights  " << weights_file(result.run) << "\n";
  if (result.performed > 0)
    text << "Metrics  " << result.run << "/metrics.jsonl (TensorBoard events beside it)\nTrace    " << result.run
         << "/trace.json (open in ui.perfetto.dev)\n";
  return text.str();
}

namespace {

// Where nobody can look there may be one.
bool may_hold_checkpoints(const std::string& run_folder) {
  try {
    return !list_checkpoints(run_folder).empty();
  } catch (const Error&) {
    return true;
  }
}

}  // namespace

std::string not_kept_text(const RunResult& result) {
  return message("the run is done and its weights are kept in ", weights_file(result.run),
                 ", but the checkpoint of its last step ", result.steps,
                 ", from which it could be trained on, could not "
                 "be written: ",
                 result.not_kept,
                 may_hold_checkpoints(result.run)
                     ? ". Make room; --resume then does the steps since the newest checkpoint again, and writes it"
                     : message(", and there is none before it. Make room; train on from the weights in another "
                               "run.folder with --set run.weights=",
                               result.run, ", or perform the run again with --overwrite"));
}

}  // namespace interlock
