// `interlock evaluate`: loss, perplexity and accuracy of a trained model on a text; of a model of labels, its scores on
// a table. Started under mpirun, the ranks share the work.

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstring>
#include <iomanip>
#include <iostream>
#include <nlohmann/json.hpp>
#include <numbers>
#include <optional>
#include <thread>

#include "launch/command.h"
#include "launch/commands/evaluate_images.h"
#include "launch/run/class_table.h"
#include "launch/run/together.h"
#include "launch/stored_model/class_guess.h"
#include "launch/stored_model/evaluation.h"
#include "launch/stored_model/exits.h"
#include "launch/stored_model/image_model.h"
#include "launch/stored_model/model_source.h"
#include "launch/stored_model/predictions.h"
#include "launch/terminal/amount_progress.h"
#include "launch/terminal/interruption.h"
#include "launch/terminal/json_line.h"
#include "launch/terminal/number_option.h"
#include "parallel/transport/group.h"
#include "parallel/transport/launch_place.h"
#include "runtime/core/log.h"
#include "runtime/data/held_out_part.h"

namespace interlock {
namespace {

std::vector<std::string> from_all(Transport& transport, const void* own, size_t bytes) {
  return Group::of_all(transport).all_gather(std::string(static_cast<const char*>(own), bytes));
}

// The results of all ranks, in the order of the batches.
std::vector<BatchResult> gather(Transport& transport, const std::vector<BatchResult>& own) {
  const std::vector<std::string> gathered = from_all(transport, own.data(), own.size() * sizeof(BatchResult));
  std::vector<BatchResult> all;
  for (size_t row = 0; row * sizeof(BatchResult) < gathered.front().size(); ++row)
    for (const std::string& part : gathered) {
      if ((row + 1) * sizeof(BatchResult) > part.size()) break;  // the last row is short
      std::memcpy(&all.emplace_back(), part.data() + row * sizeof(BatchResult), sizeof(BatchResult));
    }
  return all;
}

BatchResult sum_of(const std::vector<BatchResult>& results) {
  BatchResult sum;
  for (const BatchResult& result : results) {
    sum.loss += result.loss;
    sum.targets += result.targets;
    sum.right += result.right;
    sum.tokens += result.tokens;
    sum.bytes += result.bytes;
  }
  return sum;
}

// Nats over targets to bits over the bytes that these stand for: tokenizers compare by it.
double bits_per_byte(const BatchResult& sum) { return sum.loss / std::numbers::ln2 / static_cast<double>(sum.bytes); }

// What an evaluation needs of predictions: row, guess, truth, classes above the true one, loss. By row.
using ScoredRow = std::array<double, 5>;
std::vector<ScoredRow> gather(Transport& transport, const std::vector<ScoredRow>& own) {
  std::vector<ScoredRow> all;
  for (const std::string& part : from_all(transport, own.data(), own.size() * sizeof(ScoredRow))) {
    const size_t before = all.size();
    all.resize(before + part.size() / sizeof(ScoredRow));
    if (!part.empty()) std::memcpy(&all[before], part.data(), part.size());
  }
  std::ranges::sort(all);
  return all;
}

class Evaluate final : public Command {
 public:
  std::string summary() const override { return "measure how well a trained model predicts text, or labels"; }
  void declare(CLI::App& app) override {
    app.add_option("path", path_, "a run folder, checkpoint, weights file or imported model")->required();
    app.add_option("--data", data_,
                   "texts (files, folders, globs), or token files (PREFIX, PREFIX.bin or PREFIX.idx); of a model of "
                   "labels, tables (.tsv, .csv, .jsonl); of images, what the config's data.path or data.paths may be; "
                   "nothing: what the run held out, where its config says")
        ->type_name("PATH");
    app.add_option("--text", columns_.text, "of tables: the column of the texts, where it is not that of training");
    app.add_option("--pair", columns_.pair, "of tables: the column of the second texts");
    app.add_option("--label", columns_.label, "of tables: the column of the labels");
    app.add_option("--sequences", sequences_, "evaluate so many sequences; all by default")->transform(whole_number(1));
    app.add_option("--seed", seed_, "of masks, and of which sequences come first (1; without --data that of the run)")
        ->transform(whole_number(0));
    app.add_flag("--exits", exits_, "of a model of text: the loss above every local head between blocks, too");
    app.add_flag("--json", json_, "end with one JSON object on stdout");
  }
  int run() override;

 private:
  struct Loaded {
    TextModel source;
    std::shared_ptr<const Dataset> dataset;      // of a model that predicts tokens
    std::shared_ptr<const LabelledTexts> texts;  // of a model of labels
    LoadedModel model;                           // of a model of labels
    std::vector<Exit> exits;                     // of one that predicts tokens; the last is the whole model
    std::vector<int64_t> bytes_of_tokens;
  };
  // What one exit came to.
  struct Measured {
    int64_t layers = 0;
    BatchResult sum;
    double loss() const { return sum.loss / static_cast<double>(sum.targets); }
    nlohmann::ordered_json json() const;
  };
  Loaded load(const std::shared_ptr<const WeightsSet>& weights);
  std::shared_ptr<const Dataset> prepare(const TextModel& source) const;
  // What the run held out it has evaluated under its own seed.
  int64_t seed_of(const TextModel& source) const {
    return seed_.value_or(data_.empty() ? static_cast<int64_t>(source.settings.seed) : 1);
  }
  // Of rank `place.rank`: the batches that are its own.
  std::vector<BatchResult> share(const LaunchPlace& place, const Loaded& loaded, const Exit& exit) const;
  void tell(const Loaded& loaded, const std::vector<Measured>& measured, double seconds) const;
  std::vector<ScoredRow> share_rows(const LaunchPlace& place, const Loaded& loaded) const;
  void tell(const Loaded& loaded, const std::vector<ScoredRow>& rows, double seconds) const;

  std::string path_;
  std::vector<std::string> data_;
  TextColumns columns_;
  std::optional<int64_t> sequences_;
  std::optional<int64_t> seed_;
  int64_t count_ = 0;
  bool json_ = false, exits_ = false;
};

int Evaluate::run() {
  const LaunchPlace place = launch_place();
  start_log(place.launched ? place.rank : -1);
  std::optional<Loaded> loaded;  // nothing: a model of images
  std::shared_ptr<const WeightsSet> weights;
  const auto prepare = [&] {
    weights = WeightsSet::open(path_);
    const bool tells_images = is_image_model(*weights);
    if (tells_images && exits_) throw Error(ExitCode::usage, "--exits is for a model of text; this one tells classes");
    if (!tells_images) loaded.emplace(load(weights));
  };
  const auto measure_images = [&] { return evaluate_images({weights, data_, sequences_, json_}); };
  const auto measure = [&](Transport* transport) {
    const auto start = std::chrono::steady_clock::now();
    const auto seconds = [&] {
      return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    };
    if (loaded->texts) {
      std::vector<ScoredRow> rows = share_rows(place, *loaded);
      if (transport != nullptr) rows = gather(*transport, rows);
      if (place.rank == 0) tell(*loaded, rows, seconds());
      return static_cast<int>(ExitCode::done);
    }
    std::vector<Measured> measured;
    for (const Exit& exit : loaded->exits) {
      std::vector<BatchResult> results = share(place, *loaded, exit);
      if (transport != nullptr) results = gather(*transport, results);
      measured.push_back({exit.layers, sum_of(results)});
    }
    if (place.rank == 0) tell(*loaded, measured, seconds());
    return static_cast<int>(ExitCode::done);
  };
  if (place.size > 1)
    return run_together(
        place, [&](Transport&) { return prepare(), ConfigValues{}; },
        [&](Transport& transport) {
          if (loaded) return measure(&transport);
          begin_together(transport, [&] {  // rank 0 does it for all
            if (place.rank == 0) measure_images();
          });
          return static_cast<int>(ExitCode::done);
        });
  prepare();
  return loaded ? measure(nullptr) : measure_images();
}

Evaluate::Loaded Evaluate::load(const std::shared_ptr<const WeightsSet>& weights) {
  TextModel source = open_text_model(weights, "evaluate");
  if (!predicts_tokens(source.objective)) {
    if (exits_) throw Error(ExitCode::usage, "--exits is for a model of text; this one tells labels");
    if (sequences_)
      throw Error(ExitCode::usage,
                  "--sequences counts sequences of a text; of a table all rows are evaluated: give it fewer of them");
    if (seed_) throw Error(ExitCode::usage, "--seed is of masks; this model tells labels, and masks nothing");
    if (data_.empty() && read_held_out_part(source.settings.config.section("data")) != HeldOutPart::all)
      throw Error(ExitCode::config, message(source.weights->path(), ": its run looked at one half of what it held out ",
                                            "(data.held_out_part), by a hash of each row; `evaluate` reads whole ",
                                            "tables: name what to evaluate with --data"));
    auto texts = open_texts(source, data_, columns_, true);
    LoadedModel model = load_model(source);
    return {std::move(source), nullptr, std::move(texts), std::move(model), {}, {}};
  }
  for (const auto& [option, column] :
       {std::pair("--text", columns_.text), std::pair("--pair", columns_.pair), std::pair("--label", columns_.label)})
    if (column) throw Error(ExitCode::usage, message(option, " names a column of a table; this model predicts text"));
  auto dataset = prepare(source);
  if (!seed_) seed_ = seed_of(source);
  count_ = std::min(dataset->samples(Split::held_out), sequences_.value_or(std::numeric_limits<int64_t>::max()));
  LoadedModel model = load_model(source);
  std::vector<Exit> exits =
      exits_ ? load_exits(source, model) : std::vector<Exit>{{.layers = model.layers, .model = model}};
  std::vector<int64_t> bytes = bytes_of_tokens(source);
  return {std::move(source), std::move(dataset), nullptr, std::move(model), std::move(exits), std::move(bytes)};
}

// Encoding a text writes temporary files, which Ctrl-C must not leave behind.
std::shared_ptr<const Dataset> Evaluate::prepare(const TextModel& source) const {
  const Interruption interruption;
  try {
    return evaluation_data(source, data_, static_cast<uint64_t>(seed_of(source)), [&] { interruption.check(); });
  } catch (const Interrupted& interrupted) {
    end_by(interrupted);
  }
}

std::vector<BatchResult> Evaluate::share(const LaunchPlace& place, const Loaded& loaded, const Exit& exit) const {
  const int cores = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  const int threads = std::max(1, cores / place.local_size);
  const int64_t size = evaluation_batch(loaded.dataset->sample_length()), batches = (count_ + size - 1) / size;
  std::optional<AmountProgress> bar;
  if (place.rank == 0) bar.emplace("evaluate", (batches + place.size - 1) / place.size, false);
  const auto progress = [&](int64_t done) {
    if (bar) bar->show(done);
  };
  return evaluate_batches(exit.model, *loaded.dataset, count_, place.rank, place.size, threads, progress,
                          loaded.bytes_of_tokens);
}

std::vector<ScoredRow> Evaluate::share_rows(const LaunchPlace& place, const Loaded& loaded) const {
  const int cores = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  const PredictionRequest request{
      .first = place.rank, .stride = place.size, .threads = std::max(1, cores / place.local_size)};
  std::optional<AmountProgress> bar;
  if (place.rank == 0)
    bar.emplace("evaluate", (prediction_batches(*loaded.texts) + place.size - 1) / place.size, false);
  const auto progress = [&](int64_t done) {
    if (bar) bar->show(done);
  };
  std::vector<ScoredRow> rows;
  for (const Prediction& one : predict(loaded.source, loaded.model, *loaded.texts, request, progress)) {
    const double truth = loaded.texts->label(Split::held_out, one.row);
    const Guess guess =
        loaded.source.objective == Objective::regression ? Guess{one.values[0], truth} : class_guess(one.values, truth);
    rows.push_back({static_cast<double>(one.row), guess.guessed, truth, guess.above, one.loss});
  }
  return rows;
}

void Evaluate::tell(const Loaded& loaded, const std::vector<ScoredRow>& rows, double seconds) const {
  std::vector<Guess> guesses;
  double loss = 0;
  for (const auto& [row, guess, truth, above, of_row] : rows) {
    guesses.push_back({guess, truth, above});
    loss += of_row / static_cast<double>(rows.size());
  }
  const Scores scores = scores_of(loaded.source, guesses);
  std::ostream& out = json_ ? std::cerr : std::cout;
  for (const std::string& note : loaded.texts->notes()) out << note << "\n";
  const double majority = majority_share(guesses);
  if (scores.contains("accuracy")) out << class_table("Evaluated", {scores.at("accuracy"), loss, majority});
  out << "Loss " << std::fixed << std::setprecision(4) << loss;
  for (const auto& [name, value] : scores) out << ", " << name << " " << value;
  out << "\n"
      << rows.size() << " rows, " << std::setprecision(0)
      << (seconds > 0 ? static_cast<double>(rows.size()) / seconds : 0) << " a second\n";
  if (!json_) return;
  nlohmann::ordered_json result = {{"loss", loss}, {"rows", rows.size()}};
  for (const auto& [name, value] : scores) result[name] = value;
  if (scores.contains("accuracy")) result["majority_baseline"] = majority;
  if (!loaded.source.labels.empty()) result["labels"] = loaded.source.labels;
  std::cout << json_line(result) << std::flush;
}

// What does not fit into a number of JSON is null.
nlohmann::ordered_json finite(double value) {
  return std::isfinite(value) ? nlohmann::ordered_json(value) : nlohmann::ordered_json();
}

nlohmann::ordered_json Evaluate::Measured::json() const {
  nlohmann::ordered_json result = {{"loss", loss()}, {"perplexity", finite(std::exp(loss()))}};
  if (sum.bytes > 0) result["bits_per_byte"] = bits_per_byte(sum);
  result["accuracy"] = static_cast<double>(sum.right) / static_cast<double>(sum.targets);
  return result;
}

void Evaluate::tell(const Loaded& loaded, const std::vector<Measured>& measured, double seconds) const {
  const BatchResult& sum = measured.back().sum;
  if (sum.targets == 0) throw Error(ExitCode::bad_input, "--data: nothing to predict in it");
  const auto computed = static_cast<double>(sum.tokens) * static_cast<double>(measured.size());
  const double speed = seconds > 0 ? computed / seconds : 0;
  std::ostream& out = json_ ? std::cerr : std::cout;
  for (const Measured& exit : measured) {
    if (exits_) out << exit.layers << (exit.layers == 1 ? " layer: " : " layers: ");
    out << (loaded.source.objective == Objective::masked ? "Masked loss " : "Loss ") << std::fixed
        << std::setprecision(4) << exit.loss() << " nats per target, perplexity " << std::setprecision(2)
        << std::exp(exit.loss());
    if (exit.sum.bytes > 0) out << ", " << std::setprecision(4) << bits_per_byte(exit.sum) << " bits per byte";
    out << ", accuracy " << std::setprecision(2)
        << 100 * static_cast<double>(exit.sum.right) / static_cast<double>(exit.sum.targets) << " %\n";
  }
  if (const std::string inside = passed_over(*loaded.source.weights); exits_ && !inside.empty())
    out << "Passed over: " << inside << "\n";
  out << sum.targets << " targets in " << sum.tokens << " tokens of " << count_ << " sequences, "
      << std::setprecision(0) << speed << " tokens/s\n";
  if (!json_) return;
  nlohmann::ordered_json result = measured.back().json();
  result.update({{"tokens", sum.tokens},
                 {"tokens_per_second", speed},
                 {"targets", sum.targets},
                 {"sequences", count_},
                 {"seed", *seed_}});
  if (exits_) {
    result["exits"] = nlohmann::ordered_json::array();
    for (const Measured& exit : measured) {
      nlohmann::ordered_json one = {{"layers", exit.layers}};
      one.update(exit.json());
      result["exits"].push_back(one);
    }
  }
  std::cout << json_line(result) << std::flush;
}

const Registration<Command> registered("evaluate", [] { return std::make_unique<Evaluate>(); });

}  // namespace
}  // namespace interlock
