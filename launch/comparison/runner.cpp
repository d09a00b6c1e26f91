#include "launch/comparison/runner.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>

#include "launch/comparison/arm_process.h"
#include "launch/page/markup.h"
#include "runtime/core/error.h"
#include "runtime/core/readable_file.h"
#include "runtime/observe/progress.h"
#include "runtime/storage/checkpoint.h"

namespace interlock {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

// The last step in metrics.jsonl, from the end of the file; 0: none yet.
int64_t step_reached(const Arm& arm) {
  if (!is_regular_file((fs::path(arm.folder) / "metrics.jsonl").string())) return 0;
  std::ifstream file(fs::path(arm.folder) / "metrics.jsonl", std::ios::binary | std::ios::ate);
  if (!file) return 0;
  const auto size = static_cast<int64_t>(file.tellg());
  constexpr int64_t looked_at = 8192;  // a line with a loss for each of a hundred stages
  file.seekg(std::max<int64_t>(0, size - looked_at));
  const std::string end{std::istreambuf_iterator<char>(file), {}};
  const size_t at = end.rfind("\"step\":");
  return at == std::string::npos ? 0 : std::atoll(end.c_str() + at + 7);
}

std::string name_of(const Arm& arm) { return fs::path(arm.folder).filename().string(); }

bool says_divergence(const std::string& message) {
  const auto has = [&](const char* words) { return message.find(words) != std::string::npos; };
  return has("is not finite") || has(" is nan ") || has(" is -nan ") || has(" is inf ") || has(" is -inf ");
}

std::string ending(const ProcessEnd& end) {
  if (!end.message.empty()) return end.message;
  return end.code > 128 ? message("ended by signal ", end.code - 128) : message("ended with exit code ", end.code);
}

}  // namespace

ArmRunner::ArmRunner(std::string file, int64_t arms, int64_t steps)
    : file_(std::move(file)), arms_(arms), steps_(steps), terminal_(watched_by_person()), arm_start_(Clock::now()) {}

ArmRunner::~ArmRunner() {
  if (drawn_) std::fputs("\n", stderr);
}

void ArmRunner::line(const std::string& text) {
  std::fputs(((drawn_ ? redrawn("") : "") + text + "\n").c_str(), stderr);
  drawn_ = false;
  std::fflush(stderr);
}

double ArmRunner::seconds_per_step() const {
  return steps_performed_ > 0 ? seconds_ / static_cast<double>(steps_performed_) : 0;
}

void ArmRunner::show(const Arm& arm) {
  if (!terminal_) return;
  const int64_t step = step_reached(arm);
  const double spent = seconds_ + seconds_since(arm_start_);
  const int64_t known = steps_performed_ + step, left = steps_ - steps_done_ - step;
  std::string text = message("compare  arm ", arm_, "/", arms_, "  ", name_of(arm), "  step ", step, "/", arm.steps);
  if (known > 0)
    text +=
        "  " + duration(spent / static_cast<double>(known) * static_cast<double>(std::max<int64_t>(0, left))) + " left";
  text = text.substr(0, static_cast<size_t>(std::max(terminal_width() - 1, 1)));
  std::fputs(redrawn(text).c_str(), stderr);
  std::fflush(stderr);
  drawn_ = true;
}

ArmStatus ArmRunner::run(const Arm& arm) {
  std::vector<std::string> arguments{"train", file_};
  for (const std::string& one : arm.overrides) arguments.insert(arguments.end(), {"--set", one});
  const bool goes_on = holds_config_of(arm) && !list_checkpoints(arm.folder).empty();
  arguments.emplace_back(goes_on ? "--resume" : "--overwrite");
  std::error_code ignored;
  fs::remove(arm.folder + ".json", ignored);
  const ProcessEnd end = run_arm_process(arguments, arm.folder + ".log", [&] {
    interruption_.check();
    show(arm);
  });
  if (end.code == 0) return ArmStatus::done;
  const std::string why = ending(end);
  if (end.code == static_cast<int>(ExitCode::cannot_write))
    throw Error(ExitCode::cannot_write,
                message(name_of(arm), ": ", why,
                        ". Arms that are done are kept; for the comparison the same command goes on from here"));
  const bool diverged = end.code == static_cast<int>(ExitCode::gave_up) && says_divergence(why);
  const ArmStatus status = diverged ? ArmStatus::diverged : ArmStatus::failed;
  keep_status(arm, status, why);
  return status;
}

ArmStatus ArmRunner::perform(const Arm& arm) {
  ++arm_;
  interruption_.check();
  ArmStatus status = status_of(arm);
  const bool known = status == ArmStatus::done || status == ArmStatus::diverged;
  if (!known) {
    arm_start_ = Clock::now();
    if (!terminal_) line(message("compare  arm ", arm_, "/", arms_, "  ", name_of(arm)));
    status = run(arm);
    seconds_ += seconds_since(arm_start_);
    steps_performed_ += arm.steps;
  }
  steps_done_ += arm.steps;
  if (!known || status != ArmStatus::done)
    line(message(
        "compare  arm ", arm_, "/", arms_, "  ", name_of(arm), "  ", text_of(status),
        status == ArmStatus::done ? message(" in ", duration(seconds_since(arm_start_))) : ": " + reason_of(arm)));
  return status;
}

}  // namespace interlock
