// `interlock inspect`: what a weights file holds, and how it differs from another one.

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <iostream>
#include <limits>
#include <nlohmann/json.hpp>

#include "launch/command.h"
#include "runtime/storage/dtype.h"
#include "runtime/storage/safetensors.h"
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

uint64_t parameters(const SafetensorsFile& file) {
  uint64_t sum = 0;
  for (const TensorEntry& tensor : file.tensors()) {
    sum += (tensor.end - tensor.begin) * 8 / static_cast<uint64_t>(dtype_bits(tensor.dtype));
  }
  return sum;
}

// JSON has no infinity: the largest double stands for it, so that every comparison with a bound comes out right.
ordered_json json_number(double value) { return std::isinf(value) ? std::numeric_limits<double>::max() : value; }

ordered_json kind(const TensorEntry& tensor) { return {{"dtype", tensor.dtype}, {"shape", tensor.shape}}; }

ordered_json as_json(const SafetensorsFile& file, const WeightsDifference* difference) {
  ordered_json result = {{"path", file.path()}, {"tensors", ordered_json::array()}};
  for (const TensorEntry& tensor : file.tensors()) {
    result["tensors"].push_back({{"name", tensor.name},
                                 {"dtype", tensor.dtype},
                                 {"shape", tensor.shape},
                                 {"sha256", tensor_sha256(file, tensor)}});
  }
  result["count"] = file.tensors().size();
  result["parameters"] = parameters(file);
  result["digest"] = weights_digest(file);
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

void print(const SafetensorsFile& file) {
  size_t name_width = 4, shape_width = 5;
  for (const TensorEntry& tensor : file.tensors()) {
    name_width = std::max(name_width, tensor.name.size());
    shape_width = std::max(shape_width, shape_text(tensor).size());
  }
  const auto padded = [](const std::string& text, size_t width) {
    return text + std::string(width - std::min(width, text.size()) + 2, ' ');
  };
  std::cout << padded("name", name_width) << padded("dtype", 5) << padded("shape", shape_width) << "sha256\n";
  for (const TensorEntry& tensor : file.tensors()) {
    std::cout << padded(printable(tensor.name), name_width) << padded(tensor.dtype, 5)
              << padded(shape_text(tensor), shape_width) << tensor_sha256(file, tensor).substr(0, 12) << '\n';
  }
  std::cout << file.tensors().size() << " tensors, " << parameters(file) << " parameters\ndigest "
            << weights_digest(file) << '\n';
}

void print(const WeightsDifference& difference, const std::string& other) {
  std::cout << "against " << other << '\n';
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

class Inspect final : public Command {
 public:
  std::string summary() const override { return "list the tensors of weights, and compare them with others"; }

  void declare(CLI::App& app) override {
    app.add_option("path", path_, "a weights file or a run folder")->required();
    app.add_option("--against", against_, "a weights file or a run folder to compare with");
    app.add_flag("--json", json_, "print one JSON object");
  }

  int run() override {
    const auto file = SafetensorsFile::open(weights_path(path_));
    WeightsDifference difference;
    if (!against_.empty()) difference = compare_weights(*file, *SafetensorsFile::open(weights_path(against_)));
    if (json_) {
      const auto json = as_json(*file, against_.empty() ? nullptr : &difference);
      std::cout << json.dump(-1, ' ', false, ordered_json::error_handler_t::replace)
                << std::endl;  // paths may be any bytes
    } else {
      print(*file);
      if (!against_.empty()) print(difference, against_);
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
