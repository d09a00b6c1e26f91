// Owns the two metric files of a run. Both get a record per step, and a record is in the kernel's hands when write()
// returns: a run that is killed leaves every step that it reported.
#include "runtime/observe/metrics.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "runtime/observe/output_file.h"
#include "runtime/observe/tensorboard.h"
#include "runtime/storage/atomic_file.h"

namespace interlock {
namespace {

double wall_time() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

std::string host_name() {
  char name[256] = "";
  ::gethostname(name, sizeof name - 1);
  return name;
}

// A run that was started twice within a second keeps both files; TensorBoard reads them in the order of their names.
std::string fresh_events_path(const std::string& folder) {
  const auto seconds = static_cast<int64_t>(wall_time());
  const std::string path = folder + "/events.out.tfevents." + std::to_string(seconds) + "." + host_name();
  std::string fresh = path;
  for (int i = 1; std::filesystem::exists(fresh); ++i) fresh = path + "." + std::to_string(i);
  return fresh;
}

// JSON has no NaN or infinity: nlohmann writes them as null, which readers of such files expect.
std::string json_line(const StepMetrics& metrics) {
  nlohmann::ordered_json line;
  line["step"] = metrics.step;
  line["loss"] = metrics.loss;
  line["losses"] = nlohmann::ordered_json::object();
  for (const auto& [stage, loss] : metrics.losses) line["losses"][std::to_string(stage)] = loss;
  line["learning_rate"] = metrics.learning_rate;
  line["gradient_norm"] = metrics.gradient_norm;
  line["tokens_per_second"] = metrics.tokens_per_second;
  line["idle_share"] = metrics.idle_share;
  if (metrics.validation_loss) line["validation_loss"] = *metrics.validation_loss;
  for (const auto& [name, value] : metrics.validation_scores) line["validation_" + name] = value;
  if (!metrics.techniques.empty()) line["techniques"] = metrics.techniques;
  return line.dump() + "\n";
}

// The whole lines of steps 1 to `done`. A process that was killed may have left a piece of a line, and lines of steps
// that are done again.
std::string lines_through(const std::string& path, int64_t done) {
  std::ifstream file(path);
  std::string kept;
  for (std::string line; std::getline(file, line) && !file.eof();) {
    const nlohmann::json parsed = nlohmann::json::parse(line, nullptr, false);
    if (parsed.is_object() && parsed.contains("step") && parsed["step"].is_number_integer() &&
        parsed["step"].get<int64_t>() <= done)
      kept += line + "\n";
  }
  return kept;
}

std::vector<std::pair<std::string, double>> scalars(const StepMetrics& metrics) {
  std::vector<std::pair<std::string, double>> all = {{"loss", metrics.loss}};
  for (const auto& [stage, loss] : metrics.losses) all.emplace_back("loss/" + std::to_string(stage), loss);
  all.emplace_back("learning_rate", metrics.learning_rate);
  all.emplace_back("gradient_norm", metrics.gradient_norm);
  all.emplace_back("tokens_per_second", metrics.tokens_per_second);
  all.emplace_back("idle_share", metrics.idle_share);
  if (metrics.validation_loss) all.emplace_back("validation_loss", *metrics.validation_loss);
  for (const auto& [name, value] : metrics.validation_scores) all.emplace_back("validation_" + name, value);
  for (const auto& [name, value] : metrics.techniques) {
    std::string tag = name;  // TensorBoard groups by what stands before a slash
    std::ranges::replace(tag, '.', '/');
    all.emplace_back(std::move(tag), value);
  }
  return all;
}

}  // namespace

struct MetricsWriter::State {
  State(const std::string& lines_path, const std::string& events_path, OutputFile::Start start)
      : lines(lines_path, 0, start), events(events_path) {}
  OutputFile lines, events;
};

MetricsWriter::MetricsWriter(const std::string& folder, int64_t done) {
  const std::string events = fresh_events_path(folder);
  const std::string lines = folder + "/metrics.jsonl";
  const std::string kept = done > 0 ? lines_through(lines, done) : "";
  if (!kept.empty()) write_atomically(lines, kept);
  state_ = std::make_unique<State>(lines, events, kept.empty() ? OutputFile::Start::empty : OutputFile::Start::end);
  state_->events.append(tensorboard_record(tensorboard_version_event(wall_time())));
  // At step 1 too: a run that was killed before its first checkpoint left steps that are done again.
  state_->events.append(tensorboard_record(tensorboard_start_event(wall_time(), done + 1)));
}

MetricsWriter::~MetricsWriter() = default;

void MetricsWriter::write(const StepMetrics& metrics) {
  state_->lines.append(json_line(metrics));
  state_->events.append(tensorboard_record(tensorboard_scalar_event(wall_time(), metrics.step, scalars(metrics))));
}

}  // namespace interlock
