#include "launch/finetune/finetune_report.h"

#include <cmath>
#include <filesystem>
#include <fstream>
#include <iomanip>
#include <nlohmann/json.hpp>
#include <numeric>
#include <sstream>

#include "runtime/core/error.h"
#include "runtime/core/readable_file.h"

namespace interlock {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

// The line of metrics.jsonl that an evaluation after this step has left.
json metrics_of(const FinetunePlan::Run& run, int64_t step) {
  const std::string path = (std::filesystem::path(run.folder) / "metrics.jsonl").string();
  std::ifstream file;
  if (is_regular_file(path)) file.open(path);
  for (std::string line; std::getline(file, line);) {
    json one = json::parse(line, nullptr, false);
    if (one.is_object() && one.value("step", int64_t{-1}) == step && one.contains("validation_loss")) return one;
  }
  throw Error(ExitCode::bad_input,
              message(path, ": holds no evaluation of step ", step, ", whose weights the run kept"));
}

std::vector<double> of_all(const std::vector<SeedResult>& seeds, const std::string& name) {
  std::vector<double> values;
  for (const SeedResult& seed : seeds) values.push_back(seed.scores.at(name));
  return values;
}

std::vector<double> values_of(const std::vector<SeedResult>& seeds) {
  std::vector<double> values;
  for (const SeedResult& seed : seeds) values.push_back(seed.value);
  return values;
}

}  // namespace

SeedResult seed_result(const FinetunePlan::Run& run, const json& result) {
  SeedResult seed{run.seed, result.at("best_value"), result.at("best_step"), {}, result.at("seconds"), run.folder};
  const json metrics = metrics_of(run, seed.step);  // items() only refers to it
  for (const auto& [key, value] : metrics.items())
    if (key.starts_with("validation_") && value.is_number()) seed.scores[key.substr(11)] = value.get<double>();
  return seed;
}

double mean_of(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

double spread_of(const std::vector<double>& values) {
  if (values.size() < 2) return 0;
  const double mean = mean_of(values);
  double squares = 0;
  for (const double value : values) squares += (value - mean) * (value - mean);
  return std::sqrt(squares / static_cast<double>(values.size() - 1));
}

ordered_json report_json(const FinetunePlan& plan, const std::vector<SeedResult>& seeds) {
  const std::vector<double> values = values_of(seeds);
  ordered_json result = {{"metric", plan.metric},
                         {"mean", mean_of(values)},
                         {"spread", spread_of(values)},
                         {"seeds", ordered_json::array()},
                         {"trained_parameters", plan.trained_parameters},
                         {"scores", ordered_json::object()}};
  for (const SeedResult& seed : seeds)
    result["seeds"].push_back({{"seed", seed.seed},
                               {"value", seed.value},
                               {"path", seed.path},
                               {"step", seed.step},
                               {"scores", seed.scores},
                               {"seconds", seed.seconds}});
  for (const auto& [name, value] : seeds.front().scores)
    result["scores"][name] = {{"mean", mean_of(of_all(seeds, name))}, {"spread", spread_of(of_all(seeds, name))}};
  if (!plan.labels.empty()) result["labels"] = plan.labels;
  return result;
}

std::string report_text(const FinetunePlan& plan, const std::vector<SeedResult>& seeds) {
  std::ostringstream text;
  text << std::fixed << std::setprecision(4) << "seed    step";
  for (const auto& [name, value] : seeds.front().scores) text << std::setw(15) << name;
  text << "\n";
  for (const SeedResult& seed : seeds) {
    text << std::setw(4) << seed.seed << std::setw(8) << seed.step;
    for (const auto& [name, value] : seed.scores) text << std::setw(15) << value;
    text << "   " << seed.path << "\n";
  }
  const std::vector<double> values = values_of(seeds);
  text << plan.metric << " " << mean_of(values) << " +- " << spread_of(values) << " over " << seeds.size()
       << (seeds.size() == 1 ? " seed" : " seeds (mean and standard deviation)") << ", " << plan.trained_parameters
       << " numbers trained\n";
  return text.str();
}

}  // namespace interlock
