// `interlock fill`: the guesses of a trained model for the masked places of a text.

#include <ATen/ops/full.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/topk.h>
#include <c10/core/GradMode.h>

#include <CLI/CLI.hpp>
#include <iomanip>
#include <iostream>
#include <nlohmann/json.hpp>

#include "launch/assemble.h"
#include "launch/command.h"
#include "launch/load_weights.h"
#include "models/model.h"
#include "runtime/data/byte_tokens.h"
#include "runtime/storage/weights.h"

namespace interlock {
namespace {

using nlohmann::json;

struct Guess {
  int64_t id;
  double probability;
};

// The text as one sample: every "<mask>" is a place to predict.
Batch sample_of(const std::string& text, int64_t max_length) {
  static const std::string mark = "<mask>";
  std::vector<int64_t> tokens{byte_tokens::begin}, targets{ignored_target};
  int64_t masks = 0;
  for (size_t at = 0; at < text.size();) {
    const bool masked = text.compare(at, mark.size(), mark) == 0;
    tokens.push_back(masked ? byte_tokens::mask : byte_tokens::of_byte(static_cast<uint8_t>(text[at])));
    targets.push_back(masked ? byte_tokens::first_byte : ignored_target);  // any class: only the scores are read
    masks += masked;
    at += masked ? mark.size() : 1;
  }
  tokens.push_back(byte_tokens::end);
  targets.push_back(ignored_target);
  if (masks == 0)
    throw Error(ExitCode::usage, "the text has no <mask>: mark the bytes to guess, as in \"#incl<mask>de\"");
  const auto length = static_cast<int64_t>(tokens.size());
  if (length > max_length)
    throw Error(ExitCode::usage,
                message("the text has ", length, " tokens with its ends, the model reads at most ", max_length));
  Batch batch;
  const auto options = at::TensorOptions().dtype(at::kLong);
  batch.inputs = at::full({1, length}, 0, options);
  batch.targets = at::full({1, length}, 0, options);
  std::copy(tokens.begin(), tokens.end(), batch.inputs.data_ptr<int64_t>());
  std::copy(targets.begin(), targets.end(), batch.targets.data_ptr<int64_t>());
  batch.sample_ids = {0};
  batch.predicted = masks;
  return batch;
}

// The config that the weights carry. What is wrong with it is wrong with the file, not with anything the user wrote.
RunSettings settings_of(const SafetensorsFile& file) {
  const auto config = file.metadata().find("interlock.config");
  if (config == file.metadata().end())
    throw Error(ExitCode::bad_input, message(file.path(),
                                             ": does not say which model it belongs to (no interlock.config in its "
                                             "metadata); weights written by `interlock train` do"));
  try {
    return read_settings(Config::from_text(config->second));
  } catch (const Error& error) {
    throw Error(ExitCode::bad_input, message(file.path(), ": the interlock.config in its metadata: ", error.what()));
  }
}

class Fill final : public Command {
 public:
  std::string summary() const override { return "guess the masked bytes of a text with trained weights"; }
  void declare(CLI::App& app) override {
    app.add_option("weights", path_, "a weights file or a run folder")->required();
    app.add_option("text", text_, "text with <mask> where a byte is to be guessed")->required();
    app.add_option("--top", top_, "guesses per mask")->check(CLI::Range(1, 1000));
    app.add_flag("--json", json_, "end with one JSON object on stdout");
  }
  int run() override;

 private:
  std::vector<std::vector<Guess>> guesses() const;

  std::string path_, text_;
  int64_t top_ = 5;
  bool json_ = false;
};

std::vector<std::vector<Guess>> Fill::guesses() const {
  const auto file = SafetensorsFile::open(weights_path(path_));
  const RunSettings settings = settings_of(*file);
  if (settings.dataset_name != "text")
    throw Error(ExitCode::config, message("fill needs a model of text, these weights were trained on data \"",
                                          settings.dataset_name, "\""));
  const auto dataset = make_dataset(settings);
  const auto model = make_model(settings, *dataset);
  const auto body = model->body(0, model->blocks());
  const auto readout = model->readout();
  load_weights(*body, *file);
  load_weights(*readout, *file);

  c10::NoGradGuard no_graph;
  const Batch batch = sample_of(text_, settings.config.section("model").integer("max_length", 64));
  const ForwardContext context{&batch, settings.seed, 0, false};
  const at::Tensor scores = readout->scores(body->forward(batch.inputs, context), context);
  const auto [probabilities, ids] =
      at::topk(at::softmax(scores.to(at::kDouble), 1), std::min<int64_t>(top_, scores.size(1)), 1);
  std::vector<std::vector<Guess>> result(probabilities.size(0));
  for (int64_t mask = 0; mask < probabilities.size(0); ++mask)
    for (int64_t rank = 0; rank < probabilities.size(1); ++rank)
      result[mask].push_back({ids[mask][rank].item<int64_t>(), probabilities[mask][rank].item<double>()});
  return result;
}

int Fill::run() {
  const auto result = guesses();
  json predictions = json::array();
  for (size_t mask = 0; mask < result.size(); ++mask) {
    json list = json::array();
    if (!json_) std::cout << "mask " << mask + 1 << ":";
    for (const Guess& guess : result[mask]) {
      const std::string token = byte_tokens::shown(guess.id);
      list.push_back({{"token", token}, {"id", guess.id}, {"probability", guess.probability}});
      if (!json_) std::cout << "  " << token << " " << std::fixed << std::setprecision(3) << guess.probability;
    }
    if (!json_) std::cout << "\n";
    predictions.push_back(list);
  }
  if (json_) std::cout << json{{"predictions", predictions}}.dump() << "\n";
  return 0;
}

const Registration<Command> registered("fill", [] { return std::make_unique<Fill>(); });

}  // namespace
}  // namespace interlock
