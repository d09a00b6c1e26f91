#include "launch/run_report/run_record.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <limits>
#include <sstream>

#include "launch/stored_model/stored_run.h"
#include "runtime/core/error.h"
#include "runtime/storage/atomic_file.h"
#include "runtime/storage/json_file.h"

namespace interlock {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

double number_of(const json& row, const std::string& key) {
  const auto found = row.find(key);
  return found != row.end() && found->is_number() ? found->get<double>() : std::numeric_limits<double>::quiet_NaN();
}

MetricsRow row_of(const json& line) {
  MetricsRow row;
  row.step = line.value("step", int64_t{0});
  row.loss = number_of(line, "loss");
  if (const auto losses = line.find("losses"); losses != line.end() && losses->is_object())
    for (const auto& [stage, loss] : losses->items())
      if (loss.is_number()) row.losses[std::stoi(stage)] = loss;
  row.learning_rate = number_of(line, "learning_rate");
  row.gradient_norm = number_of(line, "gradient_norm");
  row.tokens_per_second = number_of(line, "tokens_per_second");
  row.idle_share = number_of(line, "idle_share");
  if (const double held_out = number_of(line, "validation_loss"); std::isfinite(held_out))
    row.validation_loss = held_out;
  return row;
}

json object_in(const std::string& path, const std::string& missing, RunRecord& run) {
  std::error_code absent;
  if (!fs::exists(path, absent)) {
    run.notes.push_back(missing);
    return {};
  }
  json object = read_json(path);
  if (!object.is_object()) throw Error(ExitCode::bad_input, path + ": is damaged: no JSON object");
  return object;
}

void read_metrics(const std::string& path, RunRecord& run) {
  std::error_code absent;
  if (!fs::exists(path, absent)) {
    run.notes.push_back("There is no metrics.jsonl: no step has been recorded.");
    return;
  }
  const std::string content = read_whole(path, most_record_bytes);
  std::istringstream in(content);
  std::string text;
  int64_t number = 0;
  while (std::getline(in, text)) {
    ++number;
    const json line = json::parse(text, nullptr, false);
    if (line.is_object() && line.contains("step")) {
      run.rows.push_back(row_of(line));
      continue;
    }
    const bool cut_short = in.eof() || in.peek() == std::char_traits<char>::eof();
    if (!cut_short) throw Error(ExitCode::bad_input, message(path, ":", number, ": is damaged: no record of a step"));
    run.notes.push_back("The last line of metrics.jsonl was cut short and is left out.");
  }
}

// A step's seconds follow from its tokens and its speed; batches that ramp up make earlier steps smaller, and their
// tokens are not recorded.
void add_seconds(RunRecord& run) {
  double seconds = 0;
  for (MetricsRow& row : run.rows) {
    if (row.tokens_per_second > 0) seconds += static_cast<double>(run.tokens_per_step()) / row.tokens_per_second;
    row.seconds = seconds;
  }
}

}  // namespace

std::string RunRecord::text(const std::string& key, const std::string& fallback) const {
  const auto found = config.find(key);
  if (found == config.end()) return fallback;
  const std::string& value = found->second;
  const bool quoted = value.size() >= 2 && (value.front() == '\'' || value.front() == '"');
  return quoted ? value.substr(1, value.size() - 2) : value;
}

double RunRecord::number(const std::string& key, double fallback) const {
  const std::string value = text(key);
  if (value.empty()) return fallback;
  try {
    return std::stod(value);
  } catch (const std::exception&) {
    return fallback;
  }
}

int64_t RunRecord::tokens_per_step() const {
  const double samples =
      number("parallel.replicas", 1) * number("parallel.microbatches", 1) * number("parallel.microbatch_size", 1);
  return static_cast<int64_t>(samples * number("data.sequence_length", 1));
}

// A dataset whose samples are sequences has asked for their length.
std::string RunRecord::unit() const { return text("data.sequence_length").empty() ? "samples" : "tokens"; }

std::optional<double> RunRecord::result_number(const std::string& key) const {
  if (!result.is_object()) return std::nullopt;
  const double value = number_of(result, key);
  return std::isfinite(value) ? std::optional(value) : std::nullopt;
}

double RunRecord::idle_share() const {
  double idle = 0, weight = 0;
  for (const MetricsRow& row : rows)
    if (row.tokens_per_second > 0 && std::isfinite(row.idle_share)) {
      idle += row.idle_share / row.tokens_per_second;
      weight += 1 / row.tokens_per_second;
    }
  return weight > 0 ? idle / weight : 0;
}

double RunRecord::tokens_per_second() const {
  const double time = seconds();
  return time > 0 ? static_cast<double>(tokens_per_step()) * static_cast<double>(rows.size()) / time : 0;
}

std::optional<double> RunRecord::last_validation() const {
  for (auto row = rows.rbegin(); row != rows.rend(); ++row)
    if (row->validation_loss) return row->validation_loss;
  return result_number("validation_loss");
}

std::optional<double> RunRecord::largest_peak_mib() const {
  if (!result.is_object() || !result.contains("peak_rss_mib")) return std::nullopt;
  double most = 0;
  for (const json& rank : result["peak_rss_mib"]) most = std::max(most, rank.get<double>());
  return most > 0 ? std::optional(most) : std::nullopt;
}

std::string rule_label(const RunRecord& run) {
  const std::string rule = run.text("learning.rule", "furthest");
  if (rule == "furthest" || rule == "sum") return message(rule, "(", run.text("learning.horizon", "2"), ")");
  if (rule == "chunked") return message(rule, "(", run.text("learning.window", "2"), ")");
  if (rule == "deep_supervision") return message(rule, "(", run.text("learning.weight", "0.3"), ")");
  return rule;
}

RunRecord read_run(const std::string& folder) {
  fs::path place = fs::path(folder).lexically_normal();
  if (!place.has_filename()) place = place.parent_path();
  std::error_code absent;
  if (!fs::is_directory(place, absent))
    throw Error(ExitCode::bad_input, folder + ": there is no such run folder; `interlock train` makes one");
  if (!fs::exists(place / "config.toml", absent))
    throw Error(ExitCode::bad_input, folder + ": is no run folder: it has no config.toml");
  RunRecord run;
  run.folder = place.string();
  run.name = place.filename().string();
  run.config = config_values(read_whole((place / "config.toml").string()), (place / "config.toml").string());
  read_metrics((place / "metrics.jsonl").string(), run);
  add_seconds(run);
  run.result = object_in((place / "result.json").string(),
                         "There is no result.json: the run has not ended, or was killed.", run);
  run.manifest = object_in((place / "manifest.json").string(), "There is no manifest.json.", run);
  return run;
}

}  // namespace interlock
