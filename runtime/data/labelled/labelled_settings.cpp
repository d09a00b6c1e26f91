#include "runtime/data/labelled/labelled_settings.h"

#include <limits>
#include <set>

#include "runtime/data/sample_order.h"

namespace interlock {
namespace {

// A column goes by its name, or by its number from 0: both as they are written.
std::string column(const Section& data, const std::string& key, const std::string& fallback) {
  if (!data.has(key) || data.is_text(key)) return data.text(key, fallback);
  return std::to_string(data.integer(key, 0, 0, std::numeric_limits<int16_t>::max()));
}

std::vector<std::string> read_classes(const Section& data, Objective objective) {
  std::vector<std::string> classes = data.texts("labels", {});
  if (classes.empty()) return classes;
  if (objective != Objective::classification)
    data.refuse("labels", message("names classes, and the objective is ", name_of(objective), ", which has none"));
  const std::set<std::string> different(classes.begin(), classes.end());
  if (classes.size() < 2 || different.size() < classes.size())
    data.refuse("labels", "names the classes, two or more, each once");
  return classes;
}

}  // namespace

LabelledSettings LabelledSettings::from(const DatasetSettings& given) {
  const Section& data = given.data;
  LabelledSettings settings;
  LabelledRequest& request = settings.request;
  settings.training = given.training;
  request.objective =
      read_objective(given.objective, {Objective::classification, Objective::regression, Objective::masked});
  request.paths = data.texts("paths", {});
  request.validation_paths = data.texts("validation_paths", {});
  request.text = column(data, "text", "text");
  request.pair = column(data, "pair", "");
  request.label = column(data, "label", "label");
  if (data.has("header")) request.header = data.flag("header", true);
  request.classes = read_classes(data, request.objective);
  request.held_out = read_held_out(data);
  request.length = data.integer("sequence_length", usual_labelled_length, 8, 1 << 24);
  if (request.text.empty()) data.refuse("text", "is needed: the column of the texts");
  settings.tokenizer_path = given.tokenizer.text("path", "");
  return settings;
}

void LabelledSettings::require(const Section& data) const {
  if (training && request.paths.empty()) data.refuse("paths", "is needed: tables (.tsv, .csv, .jsonl) to train on");
  if (training && request.label.empty() && request.objective != Objective::masked)
    data.refuse("label", "is needed: the column of what is to be learned");
  if (!training && request.classes.empty() && request.objective == Objective::classification)
    data.refuse("labels", "is needed: the classes of the model, in their order");
}

}  // namespace interlock
