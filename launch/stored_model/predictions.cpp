#include "launch/stored_model/predictions.h"

#include <ATen/ops/softmax.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

#include "launch/stored_model/batch_workers.h"
#include "launch/stored_model/class_guess.h"
#include "launch/stored_model/finite_scores.h"
#include "runtime/data/labelled/labelled_batch.h"
#include "runtime/data/labelled/labelled_settings.h"
#include "runtime/data/tables/table.h"

namespace interlock {
namespace {

constexpr int64_t rows_at_once = 16;

double entropy_of(const std::vector<double>& probabilities) {
  double sum = 0;
  for (const double p : probabilities) sum -= p > 0 ? p * std::log(p) : 0;
  return sum;
}

// Rows by length, those of one length in the order of the files.
std::vector<int64_t> by_length(const LabelledTexts& texts) {
  std::vector<int64_t> rows(static_cast<size_t>(texts.samples(Split::held_out)));
  std::iota(rows.begin(), rows.end(), int64_t{0});
  std::ranges::stable_sort(rows, {}, [&](int64_t row) { return texts.length(Split::held_out, row); });
  return rows;
}

class Predictor {
 public:
  Predictor(const TextModel& source, const LoadedModel& model, const LabelledTexts& texts,
            const PredictionRequest& request)
      : source_(source),
        model_(model),
        texts_(texts),
        request_(request),
        encoder_(source.tokenizer, source.tokenizer_path),
        rows_(by_length(texts)) {}

  std::vector<Prediction> batch(int64_t number) const {
    const int64_t begin = number * rows_at_once;
    const int64_t count = std::min(rows_at_once, static_cast<int64_t>(rows_.size()) - begin);
    const std::span rows = std::span(rows_).subspan(static_cast<size_t>(begin), static_cast<size_t>(count));
    const LabelledBatchShape shape{source_.max_length, encoder_.pad(), source_.objective};
    // Rows are numbered as in the files: that keys their dropout.
    const Batch batch = labelled_batch(texts_, Split::held_out, rows, rows, shape, {.targets = false});
    std::vector<std::vector<std::vector<double>>> passes;  // by pass and row
    const int64_t dropped = std::max<int64_t>(1, request_.passes);
    for (int64_t pass = 1; pass <= dropped; ++pass) passes.push_back(values(batch, pass));
    std::vector<Prediction> predictions;
    for (size_t i = 0; i < rows.size(); ++i) predictions.push_back(over_passes(rows[i], i, passes));
    return predictions;
  }

 private:
  bool scores() const { return source_.objective == Objective::regression; }

  std::vector<std::vector<double>> values(const Batch& batch, int64_t pass) const {
    const ForwardContext context{&batch, request_.seed, pass, request_.passes > 0};
    Batch with_targets = batch;  // one per sample: the readout then reads a row of each
    const auto rows = static_cast<int64_t>(batch.sample_ids.size());
    with_targets.targets = at::zeros({rows}, at::kLong);
    ForwardContext reading = context;
    reading.batch = &with_targets;
    const at::Tensor found =
        model_.readout->scores(model_.body->forward(batch.inputs, context), reading).to(at::kDouble);
    require_finite(found, *source_.weights);
    const at::Tensor told = (scores() ? found : at::softmax(found, 1)).contiguous();
    std::vector<std::vector<double>> all;
    const double* next = told.const_data_ptr<double>();
    for (int64_t row = 0; row < rows; ++row, next += told.size(1)) all.emplace_back(next, next + told.size(1));
    return all;
  }

  Prediction over_passes(int64_t row, size_t place, const std::vector<std::vector<std::vector<double>>>& passes) const {
    const auto count = static_cast<double>(passes.size());
    Prediction result;
    result.row = row;
    result.values.assign(passes.front()[place].size(), 0.0);
    double entropies = 0, squares = 0;
    for (const auto& pass : passes) {
      for (size_t i = 0; i < result.values.size(); ++i) result.values[i] += pass[place][i] / count;
      entropies += entropy_of(pass[place]) / count;
    }
    if (scores()) {
      for (const auto& pass : passes) squares += std::pow(pass[place][0] - result.values[0], 2) / count;
      result.entropy = std::sqrt(squares);
    } else {
      result.entropy = entropy_of(result.values);
      // Never below 0 but by rounding.
      result.mutual_information = std::max(0.0, result.entropy - entropies);
    }
    result.loss = loss_of(result);
    return result;
  }

  double loss_of(const Prediction& prediction) const {
    const double label = texts_.label(Split::held_out, prediction.row);
    if (std::isnan(label)) return 0;
    if (scores()) return std::pow(prediction.values[0] - label, 2);
    return -std::log(prediction.values[static_cast<size_t>(label)]);
  }

  const TextModel& source_;
  const LoadedModel& model_;
  const LabelledTexts& texts_;
  const PredictionRequest& request_;
  TextEncoder encoder_;
  std::vector<int64_t> rows_;
};

}  // namespace

namespace {

// Whoever gives numbers for the columns may still have tables whose first line has the names that training knew for the
// texts or the labels: those name columns, and are no rows. None where no file has them; Error(bad_input) where only
// some have.
std::optional<bool> header_of(const std::vector<std::string>& files, const LabelledRequest& training) {
  std::string named, bare;
  for (const std::string& file : files) {
    if (table_format(file) == TableFormat::objects) continue;
    const bool has = std::ranges::any_of(std::array{training.text, training.label}, [&](const std::string& column) {
      const bool number = column.find_first_not_of("0123456789") == std::string::npos;
      return !number && has_column(file, {{}, true}, column);
    });
    (has ? named : bare) = file;
  }
  if (named.empty()) return std::nullopt;
  if (!bare.empty())
    throw Error(ExitCode::bad_input, message("the first line of ", named, " names columns, and that of ", bare,
                                             " does not: give tables of one kind"));
  return true;
}

}  // namespace

int64_t Prediction::guess() const { return std::ranges::max_element(values) - values.begin(); }

std::shared_ptr<const LabelledTexts> open_texts(const TextModel& source, const std::vector<std::string>& files,
                                                const TextColumns& columns, bool needs_labels) {
  const Config& config = source.settings.config;
  const DatasetSettings parts{.data = config.section("data"),
                              .objective = config.section("objective"),
                              .tokenizer = config.section("tokenizer"),
                              .training = false,
                              .looks_at_files = false};
  LabelledRequest request = LabelledSettings::from(parts).request;
  if (!files.empty()) {
    request.paths.clear();
    request.validation_paths = files;
  }
  request.classes = source.labels;
  request.needs_labels = needs_labels;
  request.length = std::min(request.length, source.max_length);
  if (!request.header) request.header = header_of(files, request);
  if (columns.text) request.text = *columns.text;
  if (columns.pair) request.pair = *columns.pair;
  const TableRequest table{{request.text, request.pair}, request.header};
  const auto has_labels = [&](const std::string& file) { return has_column(file, table, request.label); };
  if (columns.label) {
    request.label = *columns.label;
  } else if (!needs_labels && (request.label.empty() || !std::ranges::all_of(files, has_labels))) {
    request.label.clear();
  }
  return std::make_shared<const LabelledTexts>(request, TextEncoder(source.tokenizer, source.tokenizer_path));
}

int64_t prediction_batches(const LabelledTexts& texts) {
  return (texts.samples(Split::held_out) + rows_at_once - 1) / rows_at_once;
}

std::vector<Prediction> predict(const TextModel& source, const LoadedModel& model, const LabelledTexts& texts,
                                const PredictionRequest& request, const std::function<void(int64_t)>& progress) {
  const Predictor predictor(source, model, texts, request);
  const int64_t batches = prediction_batches(texts);
  const int64_t own = request.first < batches ? (batches - request.first + request.stride - 1) / request.stride : 0;
  std::vector<std::vector<Prediction>> found(static_cast<size_t>(own));
  for_each_batch(
      own, request.threads,
      [&](int64_t i) { found[static_cast<size_t>(i)] = predictor.batch(request.first + i * request.stride); },
      progress);
  std::vector<Prediction> all;
  for (std::vector<Prediction>& batch : found)
    for (Prediction& one : batch) all.push_back(std::move(one));
  std::ranges::sort(all, {}, &Prediction::row);
  return all;
}

std::vector<Guess> guesses_of(const TextModel& source, const LabelledTexts& texts,
                              const std::vector<Prediction>& predictions) {
  std::vector<Guess> guesses;
  for (const Prediction& prediction : predictions) {
    const double label = texts.label(Split::held_out, prediction.row);
    if (std::isnan(label)) continue;
    guesses.push_back(source.objective == Objective::regression ? Guess{prediction.values[0], label}
                                                                : class_guess(prediction.values, label));
  }
  return guesses;
}

Scores scores_of(const TextModel& source, const std::vector<Guess>& guesses) {
  return source.objective == Objective::regression
             ? regression_scores(guesses)
             : classification_scores(guesses, static_cast<int64_t>(source.labels.size()));
}

}  // namespace interlock
