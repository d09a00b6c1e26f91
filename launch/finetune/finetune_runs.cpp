#include "launch/finetune/finetune_runs.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <thread>
#include <utility>
#include <vector>

#include "launch/supervisor/stop_request.h"
#include "runtime/core/error.h"
#include "runtime/storage/atomic_file.h"

namespace interlock {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

// Of an earlier fine-tuning: its configs, its runs, its result.
bool is_ours(const std::string& name) { return name.starts_with("seed-") || name == "result.json"; }

void remove_ours(const std::string& folder) {
  std::error_code problem;
  std::vector<fs::path> found;
  for (const auto& entry : fs::directory_iterator(folder, problem))
    if (is_ours(entry.path().filename().string())) found.push_back(entry.path());
  for (const fs::path& path : found) fs::remove_all(path, problem);
}

}  // namespace

void write_configs(const FinetunePlan& plan, const std::string& folder, bool overwrite) {
  std::error_code problem;
  if (overwrite) remove_ours(folder);
  fs::create_directories(folder, problem);
  if (!fs::is_directory(folder))
    throw Error(ExitCode::cannot_write, message("--to: cannot make the folder ", folder, ": ", problem.message()));
  for (const FinetunePlan::Run& run : plan.runs) {
    if (!fs::exists(run.config_file)) continue;
    if (read_whole(run.config_file) != run.config)
      throw Error(ExitCode::cannot_write,
                  message(run.config_file, ": the folder holds a fine-tuning with other settings or data; choose ",
                          "another --to, or replace it with --overwrite"));
  }
  for (const FinetunePlan::Run& run : plan.runs)
    if (!fs::exists(run.config_file)) write_atomically(run.config_file, run.config);
}

std::optional<json> finished_result(const FinetunePlan::Run& run) {
  const std::string path = (fs::path(run.folder) / "result.json").string();
  if (!fs::exists(path)) return std::nullopt;
  json result = json::parse(read_whole(path), nullptr, false);
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
