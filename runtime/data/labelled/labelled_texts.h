#pragma once
// Texts, or pairs of them, with labels: samples out of tables, encoded, split into training and held-out ones. What an
// objective makes inputs and targets of.

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "runtime/data/dataset.h"
#include "runtime/data/tables/labels.h"
#include "runtime/data/text_encoder.h"

namespace interlock {

struct LabelledRequest {
  std::vector<std::string> paths, validation_paths;
  std::string text, pair, label;  // columns; without a pair, or without labels: ""
  std::optional<bool> header;
  Objective objective = Objective::classification;  // masked reads no labels
  std::vector<std::string> classes;                 // by number; empty: as the training files have them
  bool needs_labels = true;                         // false: what is empty or unknown is no error; its label is NaN
  double held_out = 0;                              // share of the rows, by their texts, without validation_paths
  int64_t length = 0;                               // tokens of a sample at most, its frame included
};

// The classes of the training files, numbered as LabelledTexts numbers them, without a text being encoded; none where a
// file is absent or has a fault, which LabelledTexts then names.
LabelSet classes_in_files(const LabelledRequest& request);

class LabelledTexts {
 public:
  // Reads and encodes everything. Error(bad_input) names the file and the line.
  LabelledTexts(const LabelledRequest& request, const TextEncoder& encoder);

  int64_t samples(Split split) const { return static_cast<int64_t>(of(split).labels.size()); }
  // Samples in the order of the files. With their frames.
  std::span<const int32_t> tokens(Split split, int64_t sample) const;
  int64_t length(Split split, int64_t sample) const;
  double label(Split split, int64_t sample) const;  // the number of a class, or a score; NaN: rows without labels
  const LabelSet& classes() const { return classes_; }
  // What people should know: rows that were cut, lines without anything.
  const std::vector<std::string>& notes() const { return notes_; }

 private:
  struct Samples {
    std::vector<int32_t> ids;
    std::vector<size_t> ends;  // in ids, of each sample
    std::vector<double> labels;
  };
  struct Row {
    std::string text, pair, label, path;
    int64_t line = 0;
  };
  std::vector<Row> read(const std::vector<std::string>& paths);
  void learn_classes(const std::vector<Row>& rows);
  void look_at_scores(const std::vector<Row>& rows) const;
  double label_of(const Row& row) const;
  void add(Samples& samples, const Row& row, const TextEncoder& encoder);
  void split(std::vector<Row> rows, const TextEncoder& encoder);
  void tell_cuts();
  const Samples& of(Split split) const { return split == Split::training ? training_ : held_out_; }

  LabelledRequest request_;
  LabelSet classes_;
  Samples training_, held_out_;
  int64_t cut_samples_ = 0, cut_tokens_ = 0;
  std::vector<std::string> notes_;
};

}  // namespace interlock
