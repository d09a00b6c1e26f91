#include "launch/commands/predict_images.h"

#include <algorithm>
#include <iomanip>
#include <iostream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

#include "launch/commands/prediction_file.h"
#include "launch/run/class_table.h"
#include "launch/stored_model/class_guess.h"
#include "launch/stored_model/evaluation.h"
#include "launch/stored_model/image_model.h"
#include "launch/terminal/amount_progress.h"
#include "launch/terminal/json_line.h"
#include "runtime/core/error.h"
#include "runtime/core/log.h"
#include "runtime/observe/scores.h"
#include "runtime/storage/atomic_file.h"

namespace interlock {
namespace {

using nlohmann::ordered_json;

std::vector<std::vector<std::string>> rows(const std::vector<ImageGuess>& guesses,
                                           const std::vector<std::string>& classes) {
  std::vector<std::vector<std::string>> all{{"label"}};
  all.front().insert(all.front().end(), classes.begin(), classes.end());
  for (const ImageGuess& one : guesses) {
    std::vector<std::string> row{classes[static_cast<size_t>(one.guess())]};
    for (const double probability : one.probabilities) {
      std::ostringstream text;
      text << std::setprecision(6) << probability;
      row.push_back(text.str());
    }
    all.push_back(std::move(row));
  }
  return all;
}

ordered_json objects(const std::vector<ImageGuess>& guesses, const std::vector<std::string>& classes) {
  ordered_json all = ordered_json::array();
  for (const ImageGuess& one : guesses) {
    ordered_json row = {{"label", classes[static_cast<size_t>(one.guess())]},
                        {"probabilities", ordered_json::object()}};
    for (size_t i = 0; i < classes.size(); ++i) row["probabilities"][classes[i]] = one.probabilities[i];
    all.push_back(std::move(row));
  }
  return all;
}

}  // namespace

int predict_images(const ImagePrediction& asked) {
  const ImageModel source = open_image_model(asked.weights, asked.files);
  for (const std::string& note : source.data->notes()) log_info(note);
  const LoadedModel model = load_model(*source.model, *source.weights);
  const int64_t count = source.data->samples(Split::held_out);
  if (count == 0) throw Error(ExitCode::bad_input, "--input: there is no sample in it");
  AmountProgress bar("predict", count, false);
  const int threads = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  const std::vector<ImageGuess> guesses = guess_images(source, model, threads, [&](int64_t batches) {
    bar.show(std::min(count, batches * evaluation_batch(*source.data)));
  });
  bar.show(count);
  bar.finish();
  const std::vector<std::string> classes = source.classes();
  if (!asked.output.empty())
    write_atomically(asked.output, prediction_text(asked.output, rows(guesses, classes), objects(guesses, classes)));
  else if (!asked.json)
    std::cout << prediction_text("", rows(guesses, classes), {});
  std::vector<Guess> judged;
  for (const ImageGuess& one : guesses)
    judged.push_back(class_guess(one.probabilities, static_cast<double>(one.truth)));
  const Scores scores = classification_scores(judged, source.data->classes());
  std::ostream& people = asked.json || asked.output.empty() ? std::cerr : std::cout;
  people << "Of " << count << " samples: accuracy " << std::fixed << std::setprecision(4) << scores.at("accuracy")
         << "; the most frequent class alone gives " << majority_share(judged) << "\n";
  if (!asked.json) return static_cast<int>(ExitCode::done);
  ordered_json result = {{"scores", scores}, {"majority_baseline", majority_share(judged)}};
  result["predictions"] = objects(guesses, classes);
  std::cout << json_line(result) << std::flush;
  return static_cast<int>(ExitCode::done);
}

}  // namespace interlock
