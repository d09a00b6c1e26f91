// `interlock fill`: the guesses of a trained model for the masked places of a text.

#include <ATen/ops/softmax.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/topk.h>
#include <c10/core/GradMode.h>

#include <CLI/CLI.hpp>
#include <iomanip>
#include <iostream>
#include <nlohmann/json.hpp>

#include "launch/command.h"
#include "launch/stored_model/model_source.h"
#include "launch/terminal/number_option.h"
#include "runtime/data/byte_tokens.h"
#include "runtime/data/tokenizer/utf8.h"

namespace interlock {
namespace {

using nlohmann::json;

struct Guess {
  int64_t id;
  double probability;
};

// Every "<mask>" is a place to predict, everything else its bytes.
std::vector<int64_t> byte_tokens_of(const std::string& text) {
  static const std::string mark = "<mask>";
  std::vector<int64_t> tokens{byte_tokens::begin};
  for (size_t at = 0; at < text.size();) {
    const bool masked = text.compare(at, mark.size(), mark) == 0;
    tokens.push_back(masked ? byte_tokens::mask : byte_tokens::of_byte(static_cast<uint8_t>(text[at])));
    at += masked ? mark.size() : 1;
  }
  tokens.push_back(byte_tokens::end);
  return tokens;
}

// As the tokenizer says, <mask> included: a space before it belongs to it.
std::vector<int64_t> tokens_of(const std::string& text, const TextModel& source) {
  if (source.reads_bytes()) return byte_tokens_of(text);
  try {
    require_utf8(text);
  } catch (const Error& error) {
    throw Error(ExitCode::usage, message("the text: ", error.what()));
  }
  const Tokenizer::Specials specials = source.tokenizer->specials();
  if (specials.begin < 0 || specials.end < 0 || specials.mask < 0)
    throw Error(ExitCode::bad_input, message(source.tokenizer_path, ": has no <s>, </s> or <mask>: nothing to fill"));
  std::vector<int32_t> ids;
  source.tokenizer->encode(text, ids);
  std::vector<int64_t> tokens{specials.begin};
  tokens.insert(tokens.end(), ids.begin(), ids.end());
  tokens.push_back(specials.end);
  return tokens;
}

Batch sample_of(const std::string& text, const TextModel& source) {
  const std::vector<int64_t> tokens = tokens_of(text, source);
  const int64_t mask = source.reads_bytes() ? byte_tokens::mask : source.tokenizer->specials().mask;
  std::vector<int64_t> targets;
  // Any class that is not ignored: only the scores are read.
  for (const int64_t token : tokens) targets.push_back(token == mask ? 0 : ignored_target);
  const auto masks = std::count(tokens.begin(), tokens.end(), mask);
  if (masks == 0)
    throw Error(ExitCode::usage,
                message("the text has no <mask>: mark the place to guess, as in ",
                        source.reads_bytes() ? "\"#incl<mask>de\"" : "\"The capital of France is<mask>.\""));
  const auto length = static_cast<int64_t>(tokens.size());
  if (length > source.max_length)
    throw Error(ExitCode::usage,
                message("the text has ", length, " tokens with its ends, the model reads at most ", source.max_length));
  Batch batch;
  batch.inputs = at::tensor(tokens).view({1, length});
  batch.targets = at::tensor(targets).view({1, length});
  batch.sample_ids = {0};
  batch.predicted = masks;
  return batch;
}

// A model may have rows that its tokenizer has no token for.
std::string shown(const TextModel& source, int64_t id) {
  if (source.reads_bytes()) return byte_tokens::shown(id);
  return id < source.tokenizer->vocabulary() ? source.tokenizer->shown(id) : message("<", id, ">");
}

class Fill final : public Command {
 public:
  std::string summary() const override { return "guess the masked places of a text with a trained model"; }
  void declare(CLI::App& app) override {
    app.add_option("path", path_, "a run folder, checkpoint, weights file or imported model")->required();
    app.add_option("text", text_, "text with <mask> where something is to be guessed")->required();
    app.add_option("--top", top_, "guesses per mask, at most the vocabulary")->transform(whole_number(1, 1 << 30));
    app.add_flag("--json", json_, "end with one JSON object on stdout");
  }
  int run() override;

 private:
  std::vector<std::vector<Guess>> guesses(const TextModel& source) const;

  std::string path_, text_;
  int64_t top_ = 5;
  bool json_ = false;
};

std::vector<std::vector<Guess>> Fill::guesses(const TextModel& source) const {
  c10::NoGradGuard no_graph;
  const Batch batch = sample_of(text_, source);
  const LoadedModel model = load_model(source);
  const ForwardContext context{&batch, source.settings.seed, 0, false};
  at::Tensor scores = model.readout->scores(model.body->forward(batch.inputs, context), context);
  // A model may have rows that its tokenizer has no tokens for.
  if (!source.reads_bytes() && source.tokenizer->vocabulary() < scores.size(1))
    scores = scores.narrow(1, 0, source.tokenizer->vocabulary());
  const auto [probabilities, ids] =
      at::topk(at::softmax(scores.to(at::kDouble), 1), std::min<int64_t>(top_, scores.size(1)), 1);
  std::vector<std::vector<Guess>> result(probabilities.size(0));
  const auto probability = probabilities.accessor<double, 2>();
  const auto id = ids.accessor<int64_t, 2>();
  for (int64_t mask = 0; mask < probabilities.size(0); ++mask)
    for (int64_t rank = 0; rank < probabilities.size(1); ++rank)
      result[mask].push_back({id[mask][rank], probability[mask][rank]});
  return result;
}

int Fill::run() {
  const TextModel source = open_text_model(path_, "fill");
  require_objective(source, {Objective::masked}, "fill");
  const auto result = guesses(source);
  json predictions = json::array();
  for (size_t mask = 0; mask < result.size(); ++mask) {
    json list = json::array();
    if (!json_) std::cout << "mask " << mask + 1 << ":";
    for (const Guess& guess : result[mask]) {
      const std::string token = shown(source, guess.id);
      list.push_back({{"token", token}, {"id", guess.id}, {"probability", guess.probability}});
      if (!json_) std::cout << "  " << token << " " << std::fixed << std::setprecision(3) << guess.probability;
    }
    if (!json_) std::cout << "\n";
    predictions.push_back(list);
  }
  if (json_)
    std::cout << json{{"predictions", predictions}}.dump(-1, ' ', false, json::error_handler_t::replace) << "\n";
  return 0;
}

const Registration<Command> registered("fill", [] { return std::make_unique<Fill>(); });

}  // namespace
}  // namespace interlock
