#pragma once
// What labels stand for: classes by number, or scores. Torch-free.

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace interlock {

// The classes of a data set: class i has the name names()[i].
class LabelSet {
 public:
  LabelSet() = default;
  explicit LabelSet(std::vector<std::string> names) : names_(std::move(names)) {}
  // As the labels of the rows to train on have them, in their order: words in the order of their first appearance,
  // integers in ascending order. Error(bad_input) where they are no classes: fewer than two of them, more than a
  // thousand, or none at all in a row.
  static LabelSet of(std::span<const std::string> labels);

  std::optional<int64_t> find(const std::string& label) const;
  const std::vector<std::string>& names() const { return names_; }
  int64_t size() const { return static_cast<int64_t>(names_.size()); }

 private:
  std::vector<std::string> names_;
};

// A label as it is compared: without blanks around it.
std::string trimmed_label(const std::string& label);
// none: not a finite number.
std::optional<double> score_of(const std::string& label);

}  // namespace interlock
