#pragma once
// An arm: one run of the comparison, an ordinary run folder. What makes it, and what came out of it.

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "launch/comparison/groups.h"
#include "launch/settings/run_settings.h"

namespace interlock {

// What all arms begin from.
struct BaseConfig {
  std::string file;
  std::vector<std::string> overrides;  // --set, --steps and what a comparison adds
};

struct Arm {
  RuleGroup group;
  uint64_t seed = 1;
  double learning_rate = 0;
  std::string folder;                  // of the run
  std::vector<std::string> overrides;  // all of them, of the config's file
  std::string config_digest;           // SHA-256 of the resolved config without run.folder
  int64_t steps = 0;
  int ranks = 1;       // of all replicas
  int boundaries = 0;  // between stages of different ranks, which messages cross, of all replicas
};

// done: its steps are all there; diverged: a loss or gradient was not finite; failed: ended for another reason.
enum class ArmStatus { waiting, done, diverged, failed };
std::string exact_number(double value);  // the shortest text that TOML reads back to the same number
std::string text_of(ArmStatus status);

// The settings that `overrides` of the base give, checked as `train` checks them.
RunSettings settings_of(const BaseConfig& base, const std::vector<std::string>& overrides);
double learning_rate_of(const RunSettings& settings);
// Every key but run.folder with its value, and their SHA-256.
std::map<std::string, std::string> values_of(const RunSettings& settings);
std::string digest_of(const std::map<std::string, std::string>& values);

// `what` tells arms of one group and seed apart in their folder's name: "seed-1", "tune-3". `more` are further
// overrides.
Arm make_arm(const BaseConfig& base, const RuleGroup& group, const std::string& what, uint64_t seed,
             double learning_rate, const std::string& comparison, const std::vector<std::string>& more = {});

// Whether the folder holds this very arm, and how it ended. A folder that holds another, or one that has not ended, is
// `waiting`.
ArmStatus status_of(const Arm& arm);
bool holds_config_of(const Arm& arm);  // the run that lies in its folder has its config
// Why, where it is diverged or failed; "" else.
std::string reason_of(const Arm& arm);

// What an arm that is done had beside it, which its times depend on.
struct ArmConditions {
  int at_once = 1;        // arms that were to run at a time, itself included
  double others_cpu = 0;  // share of the machine's cores that programs other than the arm took
};
ArmConditions conditions_of(const Arm& arm);  // those of a run alone where nothing is known
// Beside the run folder. Error(cannot_write).
void keep_conditions(const Arm& arm, const ArmConditions& conditions);
// Beside the run folder: how it ended. Error(cannot_write).
void keep_status(const Arm& arm, ArmStatus status, const std::string& reason);

}  // namespace interlock
