#pragma once
// What a model of labels says of the texts of a table. The same bits however many threads and processes share the work.

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "launch/stored_model/model_source.h"
#include "runtime/data/labelled/labelled_texts.h"
#include "runtime/observe/scores.h"

namespace interlock {

// Columns where they are others than the model was trained with.
struct TextColumns {
  std::optional<std::string> text, pair, label;
};

// The rows of `files` for the model, as its held-out split; of none, those that the run held out. `needs_labels`: every
// row has one; else they are read where the files have such a column. Error(bad_input).
std::shared_ptr<const LabelledTexts> open_texts(const TextModel& source, const std::vector<std::string>& files,
                                                const TextColumns& columns, bool needs_labels);

struct Prediction {
  int64_t row = 0;
  // Of every class; of a model of scores the score alone. With several passes their mean.
  std::vector<double> values;
  double loss = 0;  // of a row with a label: in nats, or the squared distance
  // Over passes with dropout, in nats: the entropy of the mean, and what of it the passes disagree about. Of scores
  // their standard deviation, and 0.
  double entropy = 0, mutual_information = 0;

  int64_t guess() const;  // the likeliest class
};

struct PredictionRequest {
  int64_t passes = 0;             // with dropout; 0: one without
  uint64_t seed = 1;              // of dropout
  int64_t first = 0, stride = 1;  // which batches
  int threads = 1;
};

int64_t prediction_batches(const LabelledTexts& texts);
// Rows of batches first, first + stride, ...; rows of like length share a batch.
std::vector<Prediction> predict(const TextModel& source, const LoadedModel& model, const LabelledTexts& texts,
                                const PredictionRequest& request, const std::function<void(int64_t)>& progress);

// Of the rows that have a label, in the order of the files.
std::vector<Guess> guesses_of(const TextModel& source, const LabelledTexts& texts,
                              const std::vector<Prediction>& predictions);
Scores scores_of(const TextModel& source, const std::vector<Guess>& guesses);

}  // namespace interlock
