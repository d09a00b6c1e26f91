// Owns the two metric files of a run. Both get a record per step, and a record is in the kernel's hands when write()
// returns: a run that is killed leaves every step that it reported.
#include "runtime/observe/metrics.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <vector>

#include "runtime/core/calendar.h"
#include "runtime/core/error.h"
#include "runtime/core/log.h"
#include "runtime/core/readable_file.h"
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
nlohmann::ordered_json by_stage(const std::map<int, double>& values) {
  nlohmann::ordered_json all = nlohmann::ordered_json::object();
  for (const auto& [stage, value] : values) all[std::to_string(stage)] = value;
  return all;
}

std::string json_line(const StepMetrics& metrics, double seconds) {
  nlohmann::ordered_json line;
  line["step"] = metrics.step;
  line["seconds"] = seconds;
  line["time"] = now_utc();
  line["loss"] = metrics.loss;
  line["losses"] = by_stage(metrics.losses);
  line["learning_rate"] = metrics.learning_rate;
  line["gradient_norm"] = metrics.gradient_norm;
  if (!metrics.gradient_norms.empty()) line["gradient_norms"] = by_stage(metrics.gradient_norms);
  line["tokens_per_second"] = metrics.tokens_per_second;
  line["idle_share"] = metrics.idle_share;
  if (metrics.validation_loss) line["validation_loss"] = *metrics.validation_loss;
  if (!metrics.validation_losses.empty()) line["validation_losses"] = by_stage(metrics.validation_losses);
  for (const auto& [name, value] : metrics.validation_scores) line["validation_" + name] = value;
  if (!metrics.techniques.empty()) line["techniques"] = metrics.techniques;
  return line.dump() + "\n";
}

struct Kept {
  std::string lines;
  double seconds = 0;  // of the last of them; 0 in files that do not tell
};

// The whole lines of steps 1 to `done`. A process that was killed may have left a piece of a line, and lines of steps
// that are done again.
Kept lines_through(const std::string& path, int64_t done) {
  constexpr size_t most_line = size_t{1} << 20;  // of a thousand stages it has some 40 KiB
  const auto refuse = [&](const std::string& what) {
    throw Error(ExitCode::bad_input, message(path, ": ", what, "; nothing can be gone on with, move it away"));
  };
  std::error_code absent;
  if (std::filesystem::exists(path, absent) && !is_regular_file(path)) refuse("is not a regular file");
  std::ifstream file(path);
  Kept kept;
  std::vector<char> room(most_line);
  while (file.getline(room.data(), most_line) && !file.eof()) {
    const std::string line = room.data();
    const nlohmann::json parsed = nlohmann::json::parse(line, nullptr, false);
    if (parsed.is_object() && parsed.contains("step") && parsed["step"].is_number_integer() &&
        parsed["step"].get<int64_t>() <= done) {
      kept.lines += line + "\n";
      if (const auto seconds = parsed.find("seconds"); seconds != parsed.end() && seconds->is_number())
        kept.seconds = seconds->get<double>();
    }
  }
  if (file.fail() && !file.eof() && file.gcount() > 0) refuse("has a line of more than 1 MiB");
  return kept;
}

std::vector<std::pair<std::string, double>> scalars(const StepMetrics& metrics, double seconds) {
  std::vector<std::pair<std::string, double>> all = {{"loss", metrics.loss}};
  for (const auto& [stage, loss] : metrics.losses) all.emplace_back("loss/" + std::to_string(stage), loss);
  all.emplace_back("seconds", seconds);
  all.emplace_back("learning_rate", metrics.learning_rate);
  all.emplace_back("gradient_norm", metrics.gradient_norm);
  for (const auto& [stage, norm] : metrics.gradient_norms)
    all.emplace_back("gradient_norm/" + std::to_string(stage), norm);
  all.emplace_back("tokens_per_second", metrics.tokens_per_second);
  all.emplace_back("idle_share", metrics.idle_share);
  if (metrics.validation_loss) all.emplace_back("validation_loss", *metrics.validation_loss);
  for (const auto& [stage, loss] : metrics.validation_losses)
    all.emplace_back("validation_loss/" + std::to_string(stage), loss);
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
  State(const std::string& in, OutputFile::Start start, double seconds)
      : folder(in), lines(in + "/metrics.jsonl", 0, start), events(fresh_events_path(in)), seconds_before(seconds) {
    events.append(tensorboard_record(tensorboard_version_event(wall_time())));
  }
  double seconds() const {
    return seconds_before + std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  }
  std::string folder;
  OutputFile lines, events;
  double seconds_before;  // of the processes of this run before
  std::chrono::steady_clock::time_point began = std::chrono::steady_clock::now();
};

MetricsWriter::MetricsWriter(const std::string& folder, int64_t done) {
  const std::string lines = folder + "/metrics.jsonl";
  const Kept kept = done > 0 ? lines_through(lines, done) : Kept{};
  if (!kept.lines.empty()) write_atomically(lines, kept.lines);
  const OutputFile::Start start = kept.lines.empty() ? OutputFile::Start::empty : OutputFile::Start::end;
  state_ = std::make_unique<State>(folder, start, kept.seconds);
  // At step 1 too: a run that was killed before its first checkpoint left steps that are done again.
  state_->events.append(tensorboard_record(tensorboard_start_event(wall_time(), done + 1)));
}

MetricsWriter::~MetricsWriter() = default;

void MetricsWriter::write(const StepMetrics& metrics) {
  if (state_->lines.is_removed() || state_->events.is_removed()) {
    const std::string folder = state_->folder;
    log_warning(message("metrics.jsonl or the events of TensorBoard were removed from ", folder,
                        " while the run writes them: from step ", metrics.step,
                        " on they are written anew, what was removed is lost"));
    std::error_code problem;
    std::filesystem::create_directories(folder, problem);  // opening says why it cannot
    state_ = std::make_unique<State>(folder, OutputFile::Start::end, state_->seconds());
  }
  const double seconds = state_->seconds();
  state_->lines.append(json_line(metrics, seconds));
  state_->events.append(
      tensorboard_record(tensorboard_scalar_event(wall_time(), metrics.step, scalars(metrics, seconds))));
}

}  // namespace interlock
