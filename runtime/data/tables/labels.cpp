#include "runtime/data/tables/labels.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <set>

#include "runtime/core/error.h"

namespace interlock {
namespace {

// 7, -7 and 0, but not 07: that is a word, since a number would lose its zero.
std::optional<int64_t> integer_of(const std::string& label) {
  int64_t value = 0;
  const auto [end, problem] = std::from_chars(label.data(), label.data() + label.size(), value);
  if (problem != std::errc() || end != label.data() + label.size() || std::to_string(value) != label) return {};
  return value;
}

}  // namespace

std::string trimmed_label(const std::string& label) {
  constexpr const char* blanks = " \t\r\n";
  const size_t begin = label.find_first_not_of(blanks);
  return begin == std::string::npos ? "" : label.substr(begin, label.find_last_not_of(blanks) - begin + 1);
}

std::optional<double> score_of(const std::string& label) {
  double value = 0;
  const auto [end, problem] = std::from_chars(label.data(), label.data() + label.size(), value);
  // What trains on it takes it as a float.
  const bool fits = std::abs(value) <= std::numeric_limits<float>::max();
  if (problem != std::errc() || end != label.data() + label.size() || !fits) return {};
  return value;
}

LabelSet LabelSet::of(std::span<const std::string> labels) {
  constexpr size_t most = 1000;  // more are a column of something else
  std::vector<std::string> names;
  std::set<std::string> known;
  for (const std::string& label : labels)
    if (known.insert(label).second) names.push_back(label);
  if (names.size() > most)
    throw Error(ExitCode::bad_input, message(names.size(), " different labels in ", labels.size(), " rows (\"",
                                             names[0], "\", \"", names[1], "\", ...): more than ", most,
                                             " are no classes. Is this the column of labels? Scores are learned with ",
                                             "objective.name = \"regression\""));
  if (names.size() < 2)
    throw Error(ExitCode::bad_input, message("all ", labels.size(), " rows have the label \"",
                                             names.empty() ? "" : names.front(), "\": there is nothing to tell apart"));
  if (std::ranges::all_of(names, [](const std::string& name) { return integer_of(name).has_value(); }))
    std::ranges::sort(names, {}, [](const std::string& name) { return *integer_of(name); });
  return LabelSet(std::move(names));
}

std::optional<int64_t> LabelSet::find(const std::string& label) const {
  const auto found = std::ranges::find(names_, label);
  if (found == names_.end()) return std::nullopt;
  return found - names_.begin();
}

}  // namespace interlock
