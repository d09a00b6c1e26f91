#include "runtime/data/labelled/labelled_texts.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "runtime/data/tables/table.h"
#include "runtime/storage/sha256.h"

namespace interlock {
namespace {

[[noreturn]] void refuse(const std::string& what) { throw Error(ExitCode::bad_input, what); }

// A number in [0, 1) that the texts of a row decide, so that copies of it fall on one side.
double place_of(const std::string& text, const std::string& pair) {
  const std::string both = text + '\0' + pair;
  Sha256 digest;
  digest.add(std::as_bytes(std::span(both)));
  return static_cast<double>(std::stoull(digest.hex().substr(0, 12), nullptr, 16)) * 0x1p-48;
}

// Two names of classes that stand for one number; else two empty ones. Beyond 2^53 a double is several integers.
std::pair<std::string, std::string> same_number(const LabelSet& classes) {
  std::map<double, std::string> known;
  for (const std::string& name : classes.names())
    if (const auto number = score_of(name); number && std::abs(*number) < 0x1p53)
      if (const auto [found, fresh] = known.emplace(*number, name); !fresh) return {found->second, name};
  return {};
}

std::string quoted_list(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "\"" : ", \"") + name + "\"";
  return text;
}

TableRequest columns_of(const LabelledRequest& request) {
  const bool labels = request.objective != Objective::masked;
  return {{request.text, request.pair, labels ? request.label : ""}, request.header};
}

}  // namespace

LabelSet classes_in_files(const LabelledRequest& request) {
  std::vector<std::string> labels;
  try {
    for (const std::string& path : request.paths)
      for (const TableRow& row : read_table(path, columns_of(request)).rows)
        labels.push_back(trimmed_label(row.fields[2]));
    return LabelSet::of(labels);
  } catch (const Error&) {
    return {};
  }
}

LabelledTexts::LabelledTexts(const LabelledRequest& request, const TextEncoder& encoder)
    : request_(request), classes_(request.classes) {
  std::vector<Row> rows = read(request.paths);
  if (request.objective == Objective::classification && request.classes.empty()) learn_classes(rows);
  if (request.objective == Objective::regression && request.needs_labels) look_at_scores(rows);
  if (request.validation_paths.empty()) {
    split(std::move(rows), encoder);
  } else {
    for (const Row& row : rows) add(training_, row, encoder);
    for (const Row& row : read(request.validation_paths)) add(held_out_, row, encoder);
  }
  tell_cuts();
}

std::vector<LabelledTexts::Row> LabelledTexts::read(const std::vector<std::string>& paths) {
  std::vector<Row> rows;
  for (const std::string& path : paths) {
    TextTable table = read_table(path, columns_of(request_));
    for (TableRow& row : table.rows)
      rows.push_back(
          {std::move(row.fields[0]), std::move(row.fields[1]), trimmed_label(row.fields[2]), path, row.line});
    const auto without_text = std::ranges::count_if(
        rows, [&](const Row& row) { return row.path == path && row.text.empty() && row.pair.empty(); });
    if (without_text > 0) notes_.push_back(message(path, ": ", without_text, " rows have no text"));
    if (table.empty_lines > 0) notes_.push_back(message(path, ": ", table.empty_lines, " empty lines left out"));
  }
  return rows;
}

void LabelledTexts::learn_classes(const std::vector<Row>& rows) {
  std::vector<std::string> labels;
  for (const Row& row : rows) {
    if (row.label.empty()) refuse(message(row.path, ": line ", row.line, ": the label is empty"));
    labels.push_back(row.label);
  }
  // Columns by number make no header of the first line.
  for (const Row& row : rows)
    if (row.line == 1 && table_format(row.path) != TableFormat::objects && std::ranges::count(labels, row.label) == 1)
      notes_.push_back(message(row.path, ": \"", row.label,
                               "\", the label of line 1, occurs nowhere else; if that line ",
                               "names the columns, set data.header = true"));
  try {
    classes_ = LabelSet::of(labels);
    const auto [one, other] = same_number(classes_);
    if (!one.empty())
      notes_.push_back(message(request_.paths.front(), ", column ", request_.label, ": \"", one, "\" and \"", other,
                               "\" are one number written in two ways, and two classes here"));
  } catch (const Error& problem) {
    refuse(message(request_.paths.front(), ", column ", request_.label, ": ", problem.what()));
  }
}

// A column of one score, as one of one class.
void LabelledTexts::look_at_scores(const std::vector<Row>& rows) const {
  if (rows.empty() || !score_of(rows.front().label)) return;  // label_of says what is no score
  const auto same = [first = score_of(rows.front().label)](const Row& row) { return score_of(row.label) == first; };
  if (std::ranges::all_of(rows, same))
    refuse(message(rows.front().path, ", column ", request_.label, ": all ", rows.size(), " rows have the score ",
                   rows.front().label, ": there is nothing to learn"));
}

double LabelledTexts::label_of(const Row& row) const {
  if (request_.objective == Objective::masked || request_.label.empty())
    return std::numeric_limits<double>::quiet_NaN();
  const std::string where = message(row.path, ": line ", row.line, ": ");
  const auto known = [&]() -> std::optional<double> {
    if (request_.objective == Objective::regression) return score_of(row.label);
    const auto found = classes_.find(row.label);
    return found ? std::optional<double>(static_cast<double>(*found)) : std::nullopt;
  }();
  if (known) return *known;
  if (!request_.needs_labels) return std::numeric_limits<double>::quiet_NaN();
  if (row.label.empty()) refuse(where + "the label is empty");
  if (request_.objective == Objective::regression)
    refuse(message(where, "the label \"", row.label, "\" is no score, a number as 2.5"));
  refuse(message(where, "the label \"", row.label, "\" does not occur in training, which has ",
                 quoted_list(classes_.names())));
}

void LabelledTexts::add(Samples& samples, const Row& row, const TextEncoder& encoder) {
  const std::string_view pair = row.pair;
  const int64_t cut =
      encoder.encode_sample(row.text, request_.pair.empty() ? nullptr : &pair, request_.length, samples.ids);
  samples.ends.push_back(samples.ids.size());
  samples.labels.push_back(label_of(row));
  cut_samples_ += cut > 0 ? 1 : 0;
  cut_tokens_ += cut;
}

// By the texts; where that leaves a side without rows, the last share of them.
void LabelledTexts::split(std::vector<Row> rows, const TextEncoder& encoder) {
  std::vector<bool> held_out(rows.size(), false);
  size_t count = 0;
  for (size_t i = 0; i < rows.size(); ++i)
    count += (held_out[i] = place_of(rows[i].text, rows[i].pair) < request_.held_out) ? 1 : 0;
  if (request_.held_out > 0 && rows.size() > 1 && (count == 0 || count == rows.size())) {
    const auto last =
        static_cast<size_t>(std::max(1.0, std::min(static_cast<double>(rows.size() - 1),
                                                   std::round(request_.held_out * static_cast<double>(rows.size())))));
    for (size_t i = 0; i < rows.size(); ++i) held_out[i] = i >= rows.size() - last;
  }
  for (size_t i = 0; i < rows.size(); ++i) add(held_out[i] ? held_out_ : training_, rows[i], encoder);
}

void LabelledTexts::tell_cuts() {
  if (cut_samples_ == 0) return;
  notes_.push_back(message(cut_samples_, " of ", samples(Split::training) + samples(Split::held_out),
                           " samples are longer than ", request_.length,
                           " tokens (data.sequence_length): ", cut_tokens_, " tokens cut from their ends"));
}

std::span<const int32_t> LabelledTexts::tokens(Split split, int64_t sample) const {
  const Samples& samples = of(split);
  const auto index = static_cast<size_t>(sample);
  const size_t begin = index == 0 ? 0 : samples.ends[index - 1];
  return std::span(samples.ids).subspan(begin, samples.ends[index] - begin);
}

int64_t LabelledTexts::length(Split split, int64_t sample) const {
  return static_cast<int64_t>(tokens(split, sample).size());
}

double LabelledTexts::label(Split split, int64_t sample) const { return of(split).labels[static_cast<size_t>(sample)]; }

}  // namespace interlock
