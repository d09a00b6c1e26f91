// Edit distance and the sentences built on it.

#include "runtime/core/nearest_name.h"

#include <algorithm>
#include <numeric>

#include "runtime/core/printable.h"

namespace interlock {
namespace {

size_t edit_distance(const std::string& a, const std::string& b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 0; i < a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i + 1;
    for (size_t j = 0; j < b.size(); ++j) {
      const size_t substituted = diagonal + (a[i] != b[j]);
      diagonal = row[j + 1];
      row[j + 1] = std::min({substituted, row[j] + 1, row[j + 1] + 1});
    }
  }
  return row.back();
}

}  // namespace

std::string nearest_name(const std::string& name, const std::vector<std::string>& known) {
  std::string nearest;
  size_t least = std::max<size_t>(2, name.size() / 3) + 1;
  for (const auto& candidate : known) {
    const size_t distance = edit_distance(name, candidate);
    // A candidate that shares no letter in place ("lr" for "up") is no help, however short both are.
    if (distance < least && distance < std::max(name.size(), candidate.size())) {
      least = distance;
      nearest = candidate;
    }
  }
  return nearest;
}

std::string join(const std::vector<std::string>& names, const std::string& separator) {
  std::string text;
  for (size_t i = 0; i < names.size(); ++i) text += (i ? separator : "") + names[i];
  return text;
}

std::string unknown_name(const std::string& what, const std::string& name, const std::vector<std::string>& known) {
  std::string text = "unknown " + what + " \"" + printable(name) + "\"";
  const std::string nearest = nearest_name(name, known);
  if (!nearest.empty()) text += "; did you mean \"" + nearest + "\"?";
  if (known.empty()) return text + "; none is known";
  return text + (nearest.empty() ? "; known: " : " Known: ") + join(known);
}

}  // namespace interlock
