#include "launch/finetune/finetune_runs.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <regex>
#include <thread>
#include <utility>
#include <vector>

#include "launch/supervisor/stop_request.h"
#include "runtime/core/error.h"
#include "runtime/storage/atomic_file.h"
#include "runtime/storage/json_file.h"

namespace interlock {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

// Of a fine-tuning: its configs, its runs, its result.
bool is_ours(const fs::path& entry) {
  static const std::regex of_a_seed("seed-[0-9]+");
  const std::string name = entry.filename().string();
  if (name == "result.json" || name.ends_with(".toml"))
    return fs::is_regular_file(entry) &&
           (name == "result.json" || std::regex_match(name.substr(0, name.size() - 5), of_a_seed));
  return fs::is_directory(entry) && std::regex_match(name, of_a_seed) && fs::exists(entry.string() + ".toml");
}

// Everything in the folder. Error(cannot_write) names what is not of a fine-tuning.
std::vector<fs::path> entries_of_ours(const std::string& folder) {
  std::error_code problem;
  std::vector<fs::path> found;
  for (const auto& entry : fs::directory_iterator(folder, problem)) {
    if (!is_ours(entry.path()))
      throw Error(ExitCode::cannot_write, message("--to: ", folder, " holds ", entry.path().filename().string(),
                                                  ", which no fine-tuning wrote; choose a folder of its own"));
    found.push_back(entry.path());
  }
  if (!found.empty() && !fs::exists(fs::path(folder) / "seed-1.toml"))
    throw Error(ExitCode::cannot_write, message("--to: ", folder, " is not the folder of a fine-tuning (it has no ",
                                                "seed-1.toml); choose a folder of its own"));
  return found;
}

bool lies_in(const std::string& path, const std::string& folder) {
  std::error_code problem;
  const fs::path inner = fs::weakly_canonical(fs::absolute(path), problem),
                 outer = fs::weakly_canonical(fs::absolute(folder), problem);
  return std::mismatch(outer.begin(), outer.end(), inner.begin(), inner.end()).first == outer.end();
}

// A config and, where it tells, the digest of what it was made for.
std::pair<std::string, std::string> parted(const std::string& config) {
  if (!config.starts_with(input_mark)) return {"", config};
  const size_t end = config.find('\n') + 1;
  return {config.substr(0, end), config.substr(end)};
}

void check_same(const FinetunePlan::Run& run, const std::string& stored) {
  const auto [inputs_before, before] = parted(stored);
  const auto [inputs_now, now] = parted(run.config);
  const char* advice = "; choose another --to, or replace it with --overwrite";
  if (before != now)
    throw Error(ExitCode::cannot_write,
                message(run.config_file, ": the folder holds a fine-tuning with other settings or data", advice));
  if (!inputs_before.empty() && inputs_before != inputs_now)
    throw Error(ExitCode::cannot_write,
                message(run.config_file, ": what lies at the paths of --train, --validation or ",
                        "the model is not what this fine-tuning began with", advice));
}

void refuse_own_input(const FinetuneRequest& request) {
  const auto refuse = [&](const char* option, const std::string& path) {
    if (lies_in(path, request.to))
      throw Error(ExitCode::cannot_write, message("--to: ", request.to, " holds ", path, ", which ", option,
                                                  " reads; choose a folder of its own"));
  };
  refuse("the model to start from", request.path);
  for (const std::string& path : request.train) refuse("--train", path);
  for (const std::string& path : request.validation) refuse("--validation", path);
}

}  // namespace

void write_configs(const FinetunePlan& plan, const FinetuneRequest& request, bool overwrite) {
  const std::string& folder = request.to;
  refuse_own_input(request);
  const std::vector<fs::path> before = entries_of_ours(folder);
  std::error_code problem;
  if (overwrite)
    for (const fs::path& path : before) fs::remove_all(path, problem);
  fs::create_directories(folder, problem);
  if (!fs::is_directory(folder))
    throw Error(ExitCode::cannot_write, message("--to: cannot make the folder ", folder, ": ", problem.message()));
  for (const FinetunePlan::Run& run : plan.runs)
    if (fs::exists(run.config_file)) check_same(run, read_whole(run.config_file));
  for (const FinetunePlan::Run& run : plan.runs)
    if (!fs::exists(run.config_file)) write_atomically(run.config_file, run.config);
}

std::optional<json> finished_result(const FinetunePlan::Run& run) {
  const std::string path = (fs::path(run.folder) / "result.json").string();
  if (!fs::exists(path)) return std::nullopt;
  json result = read_json(path);
  const bool done = result.is_object() && result.value("stopped", true) == false && result.contains("best_value");
  return done ? std::optional(std::move(result)) : std::nullopt;
}

int train_in_child(const FinetunePlan::Run& run) {
  const std::string program = fs::read_symlink("/proc/self/exe").string();
  std::vector<std::string> words{program, "train", run.config_file, "--resume"};
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  const pid_t parent = getpid(), child = fork();
  if (child < 0) throw Error(ExitCode::gave_up, "cannot start a process for the run");
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGTERM);  // it then writes a checkpoint and ends
    if (getppid() != parent) _exit(static_cast<int>(ExitCode::stopped));
    dup2(STDERR_FILENO, STDOUT_FILENO);
    execv(program.c_str(), arguments.data());
    _exit(127);
  }
  bool asked = false;
  for (int status = 0;;) {
    const pid_t ended = waitpid(child, &status, WNOHANG);
    if (ended == child) return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    if (ended < 0) throw Error(ExitCode::gave_up, "the process of the run is lost");
    if (stop_requested() && !std::exchange(asked, true)) kill(child, SIGTERM);
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

}  // namespace interlock
