// `interlock inspect`: what weights and checkpoints hold, and how they differ from others.

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <iostream>
#include <limits>
#include <nlohmann/json.hpp>

#include "launch/command.h"
#include "launch/stored_model/stored_run.h"
#include "runtime/storage/dtype.h"
#include "runtime/storage/weights.h"
#include "runtime/storage/weights_compare.h"

namespace interlock {
namespace {

using nlohmann::ordered_json;

// A name from a file may hold control characters, which a terminal would obey.
std::string printable(std::string name) {
  std::replace_if(
      name.begin(), name.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }, '?');
  return name;
}

std::string shape_text(const TensorEntry& tensor) { return ordered_json(tensor.shape).dump(); }

uint64_t parameters(const WeightsSet& weights) {
  uint64_t sum = 0;
  for (const TensorEntry& tensor : weights.tensors()) {
    sum += (tensor.end - tensor.begin) * 8 / static_cast<uint64_t>(dtype_bits(tensor.dtype));
  }
  return sum;
}

// JSON has no infinity: the largest double stands for it, so that every comparison with a bound comes out right.
ordered_json json_number(double value) { return std::isinf(value) ? std::numeric_limits<double>::max() : value; }

ordered_json kind(const TensorEntry& tensor) { return {{"dtype", tensor.dtype}, {"shape", tensor.shape}}; }

ordered_json as_json(const WeightsSet& weights, const WeightsDifference* difference) {
  ordered_json result = {{"path", weights.path()}, {"tensors", ordered_json::array()}};
  for (const TensorEntry& tensor : weights.tensors()) {
    result["tensors"].push_back({{"name", tensor.name},
                                 {"dtype", tensor.dtype},
                                 {"shape", tensor.shape},
                                 {"sha256", tensor_sha256(weights, tensor)}});
  }
  result["count"] = weights.tensors().size();
  result["parameters"] = parameters(weights);
  result["digest"] = weights_digest(weights);
  if (difference == nullptr) return result;
  const bool compared = difference->largest >= 0;
  result["max_abs_difference"] = compared ? json_number(difference->largest) : nullptr;
  result["name"] = compared ? ordered_json(difference->name) : nullptr;
  result["missing"] = difference->missing;
  result["unexpected"] = difference->unexpected;
  result["unlike"] = ordered_json::array();
  for (const auto& [here, other] : difference->unlike) {
    result["unlike"].push_back({{"name", here.name}, {"here", kind(here)}, {"other", kind(other)}});
  }
  return result;
}

void print(const WeightsSet& weights) {
  size_t name_width = 4, shape_width = 5;
  for (const TensorEntry& tensor : weights.tensors()) {
    name_width = std::max(name_width, tensor.name.size());
    shape_width = std::max(shape_width, shape_text(tensor).size());
  }
  const auto padded = [](const std::string& text, size_t width) {
    return text + std::string(width - std::min(width, text.size()) + 2, ' ');
  };
  std::cout << padded("name", name_width) << padded("dtype", 5) << padded("shape", shape_width) << "sha256\n";
  for (const TensorEntry& tensor : weights.tensors()) {
    std::cout << padded(printable(tensor.name), name_width) << padded(tensor.dtype, 5)
              << padded(shape_text(tensor), shape_width) << tensor_sha256(weights, tensor).substr(0, 12) << '\n';
  }
  std::cout << weights.tensors().size() << " tensors, " << parameters(weights) << " parameters\ndigest "
            << weights_digest(weights) << '\n';
}

void print(const WeightsDifference& difference, const std::string& other, bool identical) {
  std::cout << "against " << other << '\n';
  if (identical) std::cout << "  identical: the same tensors, bit for bit\n";
  for (const std::string& name : difference.missing) std::cout << "  only there: " << printable(name) << '\n';
  for (const std::string& name : difference.unexpected) std::cout << "  only here: " << printable(name) << '\n';
  for (const auto& [here, there] : difference.unlike) {
    std::cout << "  unlike: " << printable(here.name) << " is " << here.dtype << ' ' << shape_text(here) << " here, "
              << there.dtype << ' ' << shape_text(there) << " there\n";
  }
  if (difference.largest < 0) {
    std::cout << "  no tensor could be compared\n";
  } else {
    std::cout << "  largest difference " << difference.largest << " in " << printable(difference.name) << '\n';
  }
}

void print(const StoredRun& run) {
  if (run.step) std::cout << (run.is_checkpoint ? "checkpoint" : "weights") << " of step " << *run.step << '\n';
  if (!run.rule.empty()) std::cout << "rule " << printable(run.rule) << '\n';
  if (!run.config_problem.empty()) std::cout << printable(run.config_problem) << '\n';
  for (const auto& [key, value] : run.state)
    if (value.size() <= 100) std::cout << printable(key) << ' ' << printable(value) << '\n';
  if (run.is_checkpoint)
    std::cout << run.other_tensors.size() << " tensors of the optimizer and of copies, " << run.other_bytes
              << " bytes (not part of the digest)\n";
}

void print(const std::vector<ConfigDifference>& differences) {
  for (const auto& [key, here, other] : differences)
    std::cout << "  config: " << printable(key) << " is " << printable(here.value_or("not set")) << " here, "
              << printable(other.value_or("not set")) << " there\n";
}

ordered_json as_json(const StoredRun& run) {
  ordered_json result = ordered_json::object();
  result["step"] = run.step ? ordered_json(*run.step) : nullptr;
  result["rule"] = run.rule.empty() ? nullptr : ordered_json(run.rule);
  if (!run.is_checkpoint) return result;
  result["state"] = run.state;
  result["optimizer"] = {{"tensors", ordered_json::array()}, {"bytes", run.other_bytes}};
  for (const TensorEntry& tensor : run.other_tensors)
    result["optimizer"]["tensors"].push_back({{"name", tensor.name}, {"dtype", tensor.dtype}, {"shape", tensor.shape}});
  return result;
}

ordered_json as_json(const std::vector<ConfigDifference>& differences) {
  ordered_json list = ordered_json::array();
  const auto value = [](const std::optional<std::string>& text) { return text ? ordered_json(*text) : nullptr; };
  for (const auto& [key, here, other] : differences)
    list.push_back({{"key", key}, {"here", value(here)}, {"other", value(other)}});
  return list;
}

class Inspect final : public Command {
 public:
  std::string summary() const override { return "list the tensors of weights, and compare them with others"; }

  void declare(CLI::App& app) override {
    app.add_option("path", path_, "a run folder, checkpoint, weights file or imported model")->required();
    app.add_option("--against", against_, "another of these to compare with")->type_name("PATH");
    app.add_flag("--json", json_, "print one JSON object");
  }

  int run() override {
    const auto weights = WeightsSet::open(path_);
    const StoredRun run = read_stored_run(*weights);
    WeightsDifference difference;
    std::vector<ConfigDifference> configs;
    bool identical = false;  // the digest knows a sign of zero too, which no difference shows
    if (!against_.empty()) {
      const auto other = WeightsSet::open(against_);
      identical = weights_digest(*weights) == weights_digest(*other);
      difference = compare_weights(*weights, *other);
      configs = compare_configs(run, read_stored_run(*other));
    }
    if (json_) {
      ordered_json json = as_json(*weights, against_.empty() ? nullptr : &difference);
      json.update(as_json(run));
      if (!against_.empty()) json["identical"] = identical;
      if (!against_.empty()) json["config_differences"] = as_json(configs);
      std::cout << json.dump(-1, ' ', false, ordered_json::error_handler_t::replace)
                << std::endl;  // paths may be any bytes
    } else {
      print(*weights);
      print(run);
      if (!against_.empty()) {
        print(difference, against_, identical);
        print(configs);
      }
    }
    return static_cast<int>(ExitCode::done);
  }

 private:
  std::string path_, against_;
  bool json_ = false;
};

const Registration<Command> registered("inspect", [] { return std::make_unique<Inspect>(); });

}  // namespace
}  // namespace interlock
