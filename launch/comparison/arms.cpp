#include "launch/comparison/arms.h"

#include <array>
#include <charconv>
#include <filesystem>

#include "launch/page/markup.h"
#include "launch/settings/parts.h"
#include "runtime/core/error.h"
#include "runtime/core/printable.h"
#include "runtime/optimization/learning_rate.h"
#include "runtime/storage/atomic_file.h"
#include "runtime/storage/json_file.h"
#include "runtime/storage/sha256.h"

namespace interlock {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

std::string status_file(const Arm& arm) { return arm.folder + ".json"; }

json object_in(const std::string& path) {
  std::error_code absent;
  if (!fs::exists(path, absent)) return {};
  json object = read_json(path);
  return object.is_object() ? object : json();
}

// Of the run that lies there; "" when it cannot be read.
std::string stored_digest(const std::string& folder) {
  const std::string file = (fs::path(folder) / "config.toml").string();
  std::error_code absent;
  if (!fs::exists(file, absent)) return "";
  try {
    const RunSettings settings = read_settings(Config::from_file(file));
    check_settings(settings);
    return digest_of(values_of(settings));
  } catch (const Error&) {
    return "";
  }
}

}  // namespace

std::string exact_number(double value) {
  std::array<char, 32> text{};
  const auto end = std::to_chars(text.data(), text.data() + text.size(), value).ptr;
  const std::string shortest(text.data(), end);
  return shortest.find_first_of(".e") == std::string::npos ? shortest + ".0" : shortest;
}

std::string text_of(ArmStatus status) {
  switch (status) {
    case ArmStatus::done:
      return "done";
    case ArmStatus::diverged:
      return "diverged";
    case ArmStatus::failed:
      return "failed";
    default:
      return "waiting";
  }
}

RunSettings settings_of(const BaseConfig& base, const std::vector<std::string>& overrides) {
  std::vector<std::string> all = base.overrides;
  all.insert(all.end(), overrides.begin(), overrides.end());
  RunSettings settings = read_settings(Config::from_file(base.file, all));
  check_settings(settings);
  return settings;
}

double learning_rate_of(const RunSettings& settings) {
  return LearningRate::Config::from(settings.config.section("optimizer"), settings.steps).peak;
}

std::map<std::string, std::string> values_of(const RunSettings& settings) {
  std::map<std::string, std::string> values = settings.config.resolved_values();
  values.erase("run.folder");
  return values;
}

std::string digest_of(const std::map<std::string, std::string>& values) {
  Sha256 digest;
  for (const auto& [key, value] : values) digest.add(key + " = " + value + "\n");
  return digest.hex();
}

Arm make_arm(const BaseConfig& base, const RuleGroup& group, const std::string& what, uint64_t seed,
             double learning_rate, const std::string& comparison, const std::vector<std::string>& more) {
  Arm arm{
      .group = group, .seed = seed, .learning_rate = learning_rate, .folder = {}, .overrides = {}, .config_digest = {}};
  arm.folder = (fs::path(comparison) / "arms" / (group.name() + "_" + what)).string();
  arm.overrides = base.overrides;
  arm.overrides.insert(arm.overrides.end(), group.overrides.begin(), group.overrides.end());
  arm.overrides.push_back(message("run.seed=", seed));
  arm.overrides.push_back("optimizer.learning_rate=" + exact_number(learning_rate));
  arm.overrides.insert(arm.overrides.end(), more.begin(), more.end());
  arm.overrides.push_back("run.folder=" + toml_quoted(arm.folder, "the folder"));
  const RunSettings settings = settings_of({base.file, {}}, arm.overrides);
  arm.config_digest = digest_of(values_of(settings));
  arm.steps = settings.steps;
  arm.ranks = settings.parallel.processes();
  const PlanShape& shape = settings.parallel.shape;
  for (int stage = 1; stage < shape.stages; ++stage) arm.boundaries += shape.rank_of(stage) != shape.rank_of(stage - 1);
  arm.boundaries *= shape.replicas;
  return arm;
}

ArmStatus status_of(const Arm& arm) {
  const json kept = object_in(status_file(arm));
  if (kept.is_object() && kept.value("config_digest", "") == arm.config_digest) {
    if (kept.value("status", "") == "diverged") return ArmStatus::diverged;
    if (kept.value("status", "") == "failed") return ArmStatus::failed;
  }
  const json result = object_in((fs::path(arm.folder) / "result.json").string());
  if (!result.is_object() || result.value("stopped", true) || result.value("steps", int64_t{-1}) != arm.steps ||
      !result.contains("digest") || !result["digest"].is_string())
    return ArmStatus::waiting;
  return holds_config_of(arm) ? ArmStatus::done : ArmStatus::waiting;
}

bool holds_config_of(const Arm& arm) { return stored_digest(arm.folder) == arm.config_digest; }

std::string reason_of(const Arm& arm) {
  const json kept = object_in(status_file(arm));
  return kept.is_object() ? kept.value("reason", "") : "";
}

ArmConditions conditions_of(const Arm& arm) {
  const json kept = object_in(status_file(arm));
  if (!kept.is_object() || kept.value("config_digest", "") != arm.config_digest) return {};
  return {kept.value("at_once", 1), kept.value("others_cpu", 0.0)};
}

void keep_conditions(const Arm& arm, const ArmConditions& conditions) {
  const json kept = {{"config_digest", arm.config_digest},
                     {"status", text_of(ArmStatus::done)},
                     {"at_once", conditions.at_once},
                     {"others_cpu", conditions.others_cpu}};
  write_atomically(status_file(arm), kept.dump(2) + "\n");
}

void keep_status(const Arm& arm, ArmStatus status, const std::string& reason) {
  const json kept = {{"config_digest", arm.config_digest}, {"status", text_of(status)}, {"reason", reason}};
  write_atomically(status_file(arm), kept.dump(2, ' ', false, json::error_handler_t::replace) + "\n");
}

}  // namespace interlock
