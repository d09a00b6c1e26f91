#include "launch/stored_model/stored_run.h"

#include <toml++/toml.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "runtime/core/error.h"
#include "runtime/core/printable.h"
#include "runtime/core/toml_depth.h"
#include "runtime/storage/checkpoint.h"

namespace interlock {
namespace {

using Values = std::map<std::string, std::string>;

// Every value of a config under its path, also those of sections that no part of this program knows.
void flatten(const toml::table& table, const std::string& path, Values& values) {
  for (const auto& [key, node] : table) {
    const std::string name = path.empty() ? std::string(key.str()) : path + "." + std::string(key.str());
    const auto* array = node.as_array();
    if (const auto* inner = node.as_table()) {
      flatten(*inner, name, values);
    } else if (array != nullptr && !array->empty() && array->is_homogeneous<toml::table>()) {
      for (size_t i = 0; i < array->size(); ++i) flatten(*(*array)[i].as_table(), message(name, "[", i, "]"), values);
    } else if (const auto* number = node.as_floating_point(); number != nullptr && std::isfinite(number->get())) {
      values[name] = nlohmann::json(number->get()).dump();  // 0.1, where the formatter would write 17 digits
    } else {
      std::ostringstream text;
      text << toml::toml_formatter(node);
      values[name] = text.str();
    }
  }
}

std::string word(const toml::node_view<const toml::node>& node, const std::string& fallback) {
  return node.value_or(fallback);
}

// A key that a change leaves out keeps the value it had before.
std::string rule_at(const toml::table& config, int64_t step) {
  static const std::map<std::string, std::string> read_by = {
      {"furthest", "horizon"}, {"sum", "horizon"}, {"chunked", "window"}, {"deep_supervision", "weight"}};
  std::string rule;
  std::map<std::string, double> values;  // what a change leaves out stays
  const auto take = [&](const toml::table& from) {
    rule = word(from["rule"], rule);
    for (const auto& [name, key] : read_by)
      if (const auto value = from[key].value<double>()) values[key] = *value;
  };
  const toml::table* learning = config["learning"].as_table();
  if (learning == nullptr) return "";
  take(*learning);
  if (const auto* changes = (*learning)["change"].as_array())
    for (const toml::node& node : *changes) {
      const toml::table* change = node.as_table();
      if (change != nullptr && (*change)["at_step"].value_or(int64_t{0}) <= step) take(*change);
    }
  const auto key = read_by.find(rule);
  const auto value = key == read_by.end() ? values.end() : values.find(key->second);
  return value == values.end() ? rule : message(rule, ", ", key->second, " ", value->second);
}

void read_config(const std::string& text, StoredRun& run) {
  try {
    check_toml_depth(text, "its line");
    const toml::table config = toml::parse(text);
    flatten(config, "", run.config);
    const int64_t last = config["run"]["steps"].value_or(int64_t{0});
    run.rule = rule_at(config, std::max<int64_t>(1, run.step.value_or(last)));
  } catch (const toml::parse_error& problem) {
    run.config_problem = message("the stored config is no TOML: ", printable(problem.description()));
  } catch (const Error& problem) {
    run.config_problem = message("the stored config is not read: ", problem.what());
  }
}

}  // namespace

std::string model_config(const WeightsSet& weights, const std::map<std::string, std::string>& changes) {
  const std::set<std::string> taken = {"model", "data", "objective", "tokenizer"}, left = {"model.frozen"};
  Values values = changes;
  values.merge(read_stored_run(weights).config);  // what is there stays
  std::map<std::string, std::string> sections;
  for (const auto& [key, value] : values) {
    const size_t dot = key.find('.');
    const std::string section = key.substr(0, dot);
    const bool wanted = taken.contains(section) || key == "run.seed" || key == "run.precision";
    if (dot == std::string::npos || !wanted || left.contains(key)) continue;
    sections[section] += key.substr(dot + 1) + " = " + value + "\n";
  }
  std::string text;
  for (const auto& [section, lines] : sections) text += (text.empty() ? "[" : "\n[") + section + "]\n" + lines;
  return text;
}

std::map<std::string, std::string> config_values(const std::string& toml, const std::string& file) {
  try {
    Values values;
    check_toml_depth(toml, file);
    flatten(toml::parse(toml), "", values);
    return values;
  } catch (const Error& problem) {
    throw Error(ExitCode::bad_input, problem.what());  // of a file that is read, not of one that was asked for
  } catch (const toml::parse_error& problem) {
    throw Error(ExitCode::bad_input,
                message(file, ":", problem.source().begin.line, ": is no TOML: ", printable(problem.description())));
  }
}

StoredRun read_stored_run(const WeightsSet& weights) {
  StoredRun run;
  run.step = stored_step(weights.metadata());
  run.is_checkpoint = is_checkpoint(weights.path());
  if (run.is_checkpoint) {
    const auto checkpoint = Checkpoint::open(weights.path());
    run.state = checkpoint->manifest().state;
    for (const auto& file : checkpoint->files())
      for (const TensorEntry& tensor : file->tensors()) {
        if (weights.find(tensor.name) != nullptr) continue;
        run.other_tensors.push_back(tensor);
        run.other_bytes += tensor.end - tensor.begin;
      }
    std::sort(run.other_tensors.begin(), run.other_tensors.end(),
              [](const TensorEntry& a, const TensorEntry& b) { return a.name < b.name; });
  }
  if (const auto config = weights.metadata().find("interlock.config"); config != weights.metadata().end())
    read_config(config->second, run);
  return run;
}

std::vector<ConfigDifference> compare_configs(const StoredRun& run, const StoredRun& other) {
  const auto value_of = [](const Values& values, const std::string& key) {
    const auto found = values.find(key);
    return found == values.end() ? std::nullopt : std::optional(found->second);
  };
  std::set<std::string> keys;
  for (const StoredRun* side : {&run, &other})
    for (const auto& [key, value] : side->config) keys.insert(key);
  std::vector<ConfigDifference> differences;
  for (const std::string& key : keys) {
    const auto here = value_of(run.config, key), there = value_of(other.config, key);
    if (here != there) differences.push_back({key, here, there});
  }
  return differences;
}

}  // namespace interlock
