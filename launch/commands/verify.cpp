// `interlock verify`: proves checkpoints and weights whole, file by file.

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>

#include "launch/command.h"
#include "runtime/core/config.h"
#include "runtime/core/printable.h"
#include "runtime/storage/checkpoint.h"
#include "runtime/storage/checkpoint_verify.h"
#include "runtime/storage/content_hash.h"
#include "runtime/storage/safetensors.h"
#include "runtime/storage/weights.h"

namespace interlock {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

// The table names the path already.
std::string without_path(const std::string& said, const std::string& path) {
  const std::string named = path + ": ";
  return said.substr(said.starts_with(named) ? named.size() : 0);
}

struct Examined {
  std::string path;
  bool is_weights;
  std::vector<CheckpointFinding> files;  // of a weights file: itself
  std::string digest;                    // of a weights file that can be read
  bool carries_hash = true;              // a weights file may be foreign, or older than the hash

  bool whole() const {
    return std::all_of(files.begin(), files.end(), [](const auto& file) { return file.problem.empty(); });
  }
};

// A config that is no TOML makes weights worth nothing, whatever their hash says: no command could use them. "" when it
// can be read, or there is none.
std::string problem_of_config(const std::string& config) {
  try {
    Config::from_text(config, {}, "interlock.config");
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

// Of a weights file that carries no hash it can be told that it is well formed, and which weights it holds.
Examined examine_weights(const std::string& path) {
  Examined result{path, true, {{fs::path(path).filename().string(), 0, ""}}, ""};
  std::error_code problem;
  const uint64_t size = fs::file_size(path, problem);
  if (!problem) result.files[0].bytes = size;
  try {
    const auto file = SafetensorsFile::open(path);
    const Content content = examine_content(*file);
    if (content == Content::changed) throw Error(ExitCode::bad_input, changed_content_problem());
    result.carries_hash = content == Content::whole;
    result.digest = weights_digest(*file);
    if (const auto config = file->metadata().find("interlock.config"); config != file->metadata().end())
      result.files[0].problem = problem_of_config(config->second);
  } catch (const Error& error) {
    result.files[0].problem = without_path(error.what(), path);
  }
  return result;
}

// With what its manifest says of the run, which is read only where everything is whole.
Examined examine(const std::string& checkpoint) {
  Examined result{checkpoint, false, examine_checkpoint(checkpoint), ""};
  if (!result.whole()) return result;
  const std::string problem = problem_of_config(Checkpoint::open(checkpoint)->manifest().config);
  for (CheckpointFinding& file : result.files)
    if (file.name == "manifest.json") file.problem = problem;
  return result;
}

constexpr const char* no_hash = "well formed; it carries no hash, so a changed value would not show";

void print(const Examined& examined) {
  std::cout << printable(examined.path) << '\n';
  size_t width = 0;
  for (const CheckpointFinding& file : examined.files) width = std::max(width, printable(file.name).size());
  for (const CheckpointFinding& file : examined.files) {
    const std::string name = printable(file.name), bytes = std::to_string(file.bytes);
    std::cout << "  " << name << std::string(width - name.size() + 15 - std::min<size_t>(bytes.size(), 13), ' ')
              << bytes << " bytes  "
              << (!file.problem.empty()   ? "BROKEN: "
                  : examined.carries_hash ? "whole"
                                          : no_hash)
              << printable(file.problem) << '\n';
  }
  if (!examined.digest.empty()) std::cout << "  digest " << examined.digest << '\n';
  std::cout.flush();
}

ordered_json as_json(const Examined& examined) {
  ordered_json result = {{"path", examined.path}, {"whole", examined.whole()}};
  if (!examined.digest.empty()) result["digest"] = examined.digest;
  result["files"] = ordered_json::array();
  for (const CheckpointFinding& file : examined.files) {
    result["files"].push_back({{"name", file.name},
                               {"bytes", file.bytes},
                               {"whole", file.problem.empty()},
                               {"hash", examined.carries_hash && file.problem.empty()},
                               {"problem", file.problem.empty() ? ordered_json() : ordered_json(file.problem)}});
  }
  return result;
}

class Verify final : public Command {
 public:
  std::string summary() const override { return "prove a checkpoint, all checkpoints of a run, or weights whole"; }

  void declare(CLI::App& app) override {
    app.add_option("path", path_, "a checkpoint, a run folder, a weights file or a Hugging Face folder")->required();
    app.add_flag("--json", json_, "print one JSON object");
  }

  int run() override {
    std::vector<Examined> all;
    for (const auto& [path, is_weights] : targets()) {
      all.push_back(is_weights ? examine_weights(path) : examine(path));
      if (!json_) print(all.back());
    }
    const auto broken = std::count_if(all.begin(), all.end(), [](const Examined& one) { return !one.whole(); });
    if (json_) {
      ordered_json result = {{"path", path_}, {"whole", broken == 0}, {"examined", ordered_json::array()}};
      for (const Examined& one : all) result["examined"].push_back(as_json(one));
      std::cout << result.dump(-1, ' ', false, ordered_json::error_handler_t::replace) << std::endl;
    }
    if (broken != 0) fail(all, broken);
    return static_cast<int>(ExitCode::done);
  }

 private:
  struct Target {
    std::string path;
    bool is_weights;
  };

  std::vector<Target> targets() const {
    std::error_code problem;
    const fs::file_status status = fs::status(path_, problem);
    if (!fs::exists(status)) throw Error(ExitCode::bad_input, message("nothing to verify at ", path_));
    if (!fs::is_directory(status)) return {{path_, true}};
    if (is_checkpoint(path_)) return {{path_, false}};
    std::vector<Target> found;
    for (const char* name : {"weights.safetensors", "best.safetensors"}) {
      const std::string weights = (fs::path(path_) / name).string();
      if (fs::exists(fs::symlink_status(weights, problem))) found.push_back({weights, true});
    }
    for (const std::string& folder : list_checkpoints(path_)) found.push_back({folder, false});
    if (found.empty() && fs::exists(fs::path(path_) / "config.json", problem))
      for (const std::string& file : safetensors_files(path_)) found.push_back({file, true});
    // What was a checkpoint is told what it lacks.
    if (found.empty() &&
        (fs::path(path_) / "").lexically_normal().parent_path().filename().string().starts_with("step-"))
      found.push_back({path_, false});
    if (!found.empty()) return found;
    throw Error(ExitCode::bad_input,
                message(path_, " is no checkpoint (it has no manifest of one) and no run folder with checkpoints or ",
                        "weights"));
  }

  // Of a folder of Hugging Face's, which may hold its tensors in several.
  static std::vector<std::string> safetensors_files(const std::string& folder) {
    std::vector<std::string> files;
    std::error_code problem;
    for (const auto& entry : fs::directory_iterator(folder, problem))
      if (entry.path().extension() == ".safetensors") files.push_back(entry.path().string());
    std::ranges::sort(files);
    return files;
  }

  [[noreturn]] static void fail(const std::vector<Examined>& all, std::ptrdiff_t broken) {
    const Examined& first = *std::find_if(all.begin(), all.end(), [](const Examined& one) { return !one.whole(); });
    const CheckpointFinding& file = *std::find_if(first.files.begin(), first.files.end(),
                                                  [](const CheckpointFinding& one) { return !one.problem.empty(); });
    const std::string count = all.size() == 1 ? "" : message(broken, " of ", all.size(), " are broken; the first: ");
    const std::string where = first.is_weights ? "" : printable(file.name) + ": ";
    throw Error(ExitCode::bad_input, message(count, first.path, ": ", where, printable(file.problem)));
  }

  std::string path_;
  bool json_ = false;
};

const Registration<Command> registered("verify", [] { return std::make_unique<Verify>(); });

}  // namespace
}  // namespace interlock
