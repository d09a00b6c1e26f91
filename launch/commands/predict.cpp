// `interlock predict`: the labels that a fine-tuned model gives to the texts of a table, and how sure it is of them.

#include <CLI/CLI.hpp>
#include <cmath>
#include <iomanip>
#include <iostream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

#include "launch/command.h"
#include "launch/commands/predict_images.h"
#include "launch/commands/prediction_file.h"
#include "launch/folders/output_apart.h"
#include "launch/stored_model/image_model.h"
#include "launch/stored_model/predictions.h"
#include "launch/stored_model/referral.h"
#include "launch/terminal/amount_progress.h"
#include "launch/terminal/number_option.h"
#include "runtime/core/log.h"
#include "runtime/core/printable.h"
#include "runtime/storage/atomic_file.h"

namespace interlock {
namespace {

using nlohmann::ordered_json;

class Predict final : public Command {
 public:
  std::string summary() const override { return "label texts or images with a trained model"; }
  void declare(CLI::App& app) override {
    app.add_option("path", path_, "a run folder, checkpoint, weights file or imported model")->required();
    app.add_option("--input", input_,
                   "tables of texts (.tsv, .csv, .jsonl); of a model of images, what `evaluate` takes as --data, or "
                   "nothing: what its run held out")
        ->type_name("PATH");
    app.add_option("--output", output_,
                   "write into this file instead of stdout, as its ending says: .tsv, .csv or .jsonl")
        ->type_name("FILE");
    app.add_option("--text", columns_.text, "the column of the texts, where it is not that of training");
    app.add_option("--pair", columns_.pair, "the column of the second texts");
    app.add_option("--label", columns_.label, "a column of labels to compare with; that of training, if it is there");
    auto* uncertainty =
        app.add_option("--uncertainty", passes_, "so many passes with dropout: how far they agree says how sure it is")
            ->transform(whole_number(2, 10000));
    app.add_option("--svg", svg_, "draw accuracy over the share of rows referred into this file")
        ->type_name("FILE")
        ->needs(uncertainty);
    app.add_option("--seed", seed_, "of dropout")->transform(whole_number(0))->needs(uncertainty);
    app.add_flag("--json", json_, "end with one JSON object on stdout");
  }
  int run() override;

 private:
  void refuse_of_images() const;
  bool scores() const { return source_->objective == Objective::regression; }
  std::string label_of(const Prediction& prediction) const;
  std::vector<std::vector<std::string>> rows(const std::vector<Prediction>& predictions) const;
  ordered_json objects(const std::vector<Prediction>& predictions) const;
  ordered_json judge(const std::vector<Prediction>& predictions) const;
  ordered_json refer(const std::vector<Prediction>& predictions) const;
  std::ostream& people() const { return json_ || output_.empty() ? std::cerr : std::cout; }

  std::string path_, output_, svg_;
  std::vector<std::string> input_;
  TextColumns columns_;
  int64_t passes_ = 0, seed_ = 1;
  bool json_ = false;
  std::optional<TextModel> source_;
  std::shared_ptr<const LabelledTexts> texts_;
};

// What is said of tables alone.
void Predict::refuse_of_images() const {
  for (const auto& [option, given] :
       {std::pair("--text", columns_.text.has_value()), std::pair("--pair", columns_.pair.has_value()),
        std::pair("--label", columns_.label.has_value()), std::pair("--uncertainty", passes_ > 0)})
    if (given)
      throw Error(ExitCode::usage, message(option, " is for a model of texts; this one tells what images show"));
}

std::string exact(double value) {
  std::ostringstream text;
  text << std::setprecision(6) << value;
  return text.str();
}

std::string Predict::label_of(const Prediction& prediction) const {
  return scores() ? exact(prediction.values[0]) : source_->labels[static_cast<size_t>(prediction.guess())];
}

// With a header: label, the probability of every class, and with --uncertainty what the passes say.
std::vector<std::vector<std::string>> Predict::rows(const std::vector<Prediction>& predictions) const {
  std::vector<std::vector<std::string>> all{{"label"}};
  std::vector<std::string>& header = all.front();
  if (!scores()) header.insert(header.end(), source_->labels.begin(), source_->labels.end());
  if (passes_ > 0) header.emplace_back(scores() ? "deviation" : "entropy");
  if (passes_ > 0 && !scores()) header.emplace_back("mutual_information");
  for (const Prediction& one : predictions) {
    std::vector<std::string> row{label_of(one)};
    if (!scores())
      for (const double probability : one.values) row.push_back(exact(probability));
    if (passes_ > 0) row.push_back(exact(one.entropy));
    if (passes_ > 0 && !scores()) row.push_back(exact(one.mutual_information));
    all.push_back(std::move(row));
  }
  return all;
}

ordered_json Predict::objects(const std::vector<Prediction>& predictions) const {
  ordered_json all = ordered_json::array();
  for (const Prediction& one : predictions) {
    ordered_json row = {{"label", label_of(one)}, {"probabilities", ordered_json::object()}};
    for (size_t i = 0; !scores() && i < one.values.size(); ++i)
      row["probabilities"][source_->labels[i]] = one.values[i];
    if (scores()) row["score"] = one.values[0];
    if (passes_ > 0) {
      row[scores() ? "deviation" : "entropy"] = one.entropy;
      if (!scores()) row["mutual_information"] = one.mutual_information;
    }
    all.push_back(std::move(row));
  }
  return all;
}

// Against the labels that the table has.
ordered_json Predict::judge(const std::vector<Prediction>& predictions) const {
  const std::vector<Guess> guesses = guesses_of(*source_, *texts_, predictions);
  ordered_json found = ordered_json::object();
  if ((columns_.label || !guesses.empty()) && guesses.size() < predictions.size())
    log_warning(message(
        columns_.label ? "--label " + *columns_.label : std::string("labels"), ": ",
        predictions.size() - guesses.size(), " of ", predictions.size(),
        scores() ? " rows have no number there" : " rows have a label there that the model does not know, or none",
        "; accuracy is told of the others alone"));
  if (guesses.empty()) return found;
  people() << "Of " << guesses.size() << " rows with a label:";
  for (const auto& [name, value] : scores_of(*source_, guesses)) {
    people() << " " << name << " " << std::fixed << std::setprecision(4) << value;
    found[name] = value;
  }
  people() << "\n";
  return found;
}

ordered_json Predict::refer(const std::vector<Prediction>& predictions) const {
  if (scores() || passes_ == 0) return {};
  std::vector<JudgedRow> by_entropy, by_information;
  for (const Prediction& one : predictions) {
    const double label = texts_->label(Split::held_out, one.row);
    if (std::isnan(label)) continue;
    const bool right = static_cast<double>(one.guess()) == label;
    by_entropy.push_back({one.entropy, right});
    by_information.push_back({one.mutual_information, right});
  }
  if (by_entropy.empty()) {
    if (!svg_.empty())
      throw Error(ExitCode::bad_input,
                  "--svg: the table has no labels that accuracy could be taken of (--label names "
                  "their column)");
    return {};
  }
  const auto entropy = referral_curve(by_entropy), information = referral_curve(by_information);
  ordered_json rows = ordered_json::array();
  people() << "Accuracy on what remains when the least certain rows are referred\n  referred   by entropy   by mutual "
              "information\n";
  for (size_t i = 0; i < entropy.size(); ++i) {
    people() << std::fixed << std::setprecision(0) << std::setw(8) << 100 * entropy[i].referred << " %"
             << std::setprecision(4) << std::setw(13) << entropy[i].accuracy << std::setw(23) << information[i].accuracy
             << "\n";
    rows.push_back({{"referred", entropy[i].referred},
                    {"entropy", entropy[i].accuracy},
                    {"mutual_information", information[i].accuracy}});
  }
  if (!svg_.empty())
    write_atomically(svg_, referral_svg({{"by entropy", entropy}, {"by mutual information", information}},
                                        message("Accuracy by the share referred, ", passes_, " passes")));
  return rows;
}

int Predict::run() {
  std::vector<std::string> sources = input_;
  sources.push_back(path_);
  refuse_over_sources("--output", output_, sources);
  refuse_over_sources("--svg", svg_, sources);
  refuse_same_output("--svg", svg_, "--output", output_);
  const auto weights = WeightsSet::open(path_);
  if (is_image_model(*weights)) {
    refuse_of_images();
    return predict_images({weights, input_, output_, json_});
  }
  source_.emplace(open_text_model(weights, "predict"));
  require_objective(*source_, {Objective::classification, Objective::regression}, "predict");
  if (input_.empty()) throw Error(ExitCode::usage, "--input is required: tables of texts (.tsv, .csv, .jsonl)");
  const Section model = source_->settings.config.section("model");
  const double dropout = model.number("dropout", 0.1, 0.0, 1.0);
  if (passes_ > 0 && dropout == 0 && model.number("attention_dropout", dropout, 0.0, 1.0) == 0)
    throw Error(ExitCode::config, message("--uncertainty: ", source_->weights->path(),
                                          " has model.dropout = 0, so all passes would say the same"));
  if (scores() && !svg_.empty())
    throw Error(ExitCode::usage, "--svg draws accuracy, which a model of scores (regression) has none of");
  texts_ = open_texts(*source_, input_, columns_, false);
  for (const std::string& note : texts_->notes()) log_info(note);
  const LoadedModel loaded = load_model(*source_);
  const PredictionRequest request{.passes = passes_,
                                  .seed = static_cast<uint64_t>(seed_),
                                  .threads = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()))};
  AmountProgress bar("predict", prediction_batches(*texts_), false);
  const auto predictions = predict(*source_, loaded, *texts_, request, [&](int64_t done) { bar.show(done); });
  if (!output_.empty()) {
    write_atomically(output_, prediction_text(output_, rows(predictions), objects(predictions)));
  } else if (!json_) {
    std::cout << prediction_text("", rows(predictions), {});
  }
  ordered_json result;
  if (ordered_json judged = judge(predictions); !judged.empty()) result["scores"] = std::move(judged);
  if (ordered_json referred = refer(predictions); !referred.empty()) result["referral"] = std::move(referred);
  result["predictions"] = objects(predictions);
  if (json_) std::cout << result.dump(-1, ' ', false, ordered_json::error_handler_t::replace) << std::endl;
  return static_cast<int>(ExitCode::done);
}

const Registration<Command> registered("predict", [] { return std::make_unique<Predict>(); });

}  // namespace
}  // namespace interlock
