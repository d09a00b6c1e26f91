#include "launch/comparison/runner.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <thread>
#include <utility>

#include "launch/comparison/arm_gpus.h"
#include "launch/comparison/machine.h"
#include "launch/page/markup.h"
#include "runtime/core/error.h"
#include "runtime/observe/last_step.h"
#include "runtime/observe/progress.h"
#include "runtime/storage/checkpoint.h"

namespace interlock {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;
constexpr auto between_looks = std::chrono::milliseconds(200);

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

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

ArmRunner::ArmRunner(std::string file, int64_t arms, int64_t steps, int at_once)
    : file_(std::move(file)),
      arms_(arms),
      steps_(steps),
      at_once_(static_cast<size_t>(at_once)),
      gpus_(visible_gpus()),
      terminal_(watched_by_person()) {}

ArmRunner::~ArmRunner() {
  if (drawn_) std::fputs("\n", stderr);
}

void ArmRunner::line(const std::string& text) {
  std::fputs(((drawn_ ? redrawn("") : "") + text + "\n").c_str(), stderr);
  drawn_ = false;
  std::fflush(stderr);
}

void ArmRunner::show(const std::vector<Arm>& arms) {
  if (!terminal_ || running_.empty()) return;
  int64_t step = 0, of = 0;
  for (const Running& one : running_) step += last_step_told(arms[one.index].folder), of += arms[one.index].steps;
  const double spent = seconds_ + seconds_since(began_);
  const int64_t known = steps_performed_ + step, left = steps_ - steps_done_ - step;
  const Running& first = running_.front();
  std::string text = running_.size() == 1
                         ? message("compare  arm ", first.number, "/", arms_, "  ", name_of(arms[first.index]))
                         : message("compare  ", ended_, "/", arms_, " arms done, ", running_.size(), " at work");
  text += message("  step ", step, "/", of);
  if (known > 0)
    text +=
        "  " + duration(spent / static_cast<double>(known) * static_cast<double>(std::max<int64_t>(0, left))) + " left";
  text = text.substr(0, static_cast<size_t>(std::max(terminal_width() - 1, 1)));
  std::fputs(redrawn(text).c_str(), stderr);
  std::fflush(stderr);
  drawn_ = true;
}

// None: there are not several.
std::vector<size_t> ArmRunner::free_gpus(const Arm& arm) const {
  if (gpus_.size() < 2) return {};
  std::vector<int> arms_on_gpu(gpus_.size(), 0);
  for (const Running& one : running_)
    for (const size_t gpu : one.gpus) ++arms_on_gpu[gpu];
  return gpus_for(arms_on_gpu, arm.ranks);
}

std::unique_ptr<ArmProcess> ArmRunner::start(const Arm& arm, const std::vector<size_t>& gpus) const {
  std::vector<std::string> arguments{"train", file_};
  for (const std::string& one : arm.overrides) arguments.insert(arguments.end(), {"--set", one});
  const bool goes_on = holds_config_of(arm) && !list_checkpoints(arm.folder).empty();
  arguments.emplace_back(goes_on ? "--resume" : "--overwrite");
  std::error_code ignored;
  fs::remove(arm.folder + ".json", ignored);
  std::vector<std::string> names;
  for (const size_t gpu : gpus) names.push_back(gpus_[gpu]);
  return std::make_unique<ArmProcess>(arguments, join(names, ","), arm.folder + ".log");
}

ArmStatus ArmRunner::ended(const Arm& arm, const ProcessEnd& end) const {
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

// All are asked before any is waited for.
void ArmRunner::stop_all() {
  for (Running& one : running_) one.process->ask_to_stop();
  running_.clear();
}

void ArmRunner::count(const Arm& arm, int64_t number, ArmStatus status, const std::string& took) {
  ++ended_;
  steps_done_ += arm.steps;
  if (took.empty() && status == ArmStatus::done) return;
  line(message("compare  arm ", number, "/", arms_, "  ", name_of(arm), "  ", text_of(status),
               status == ArmStatus::done ? " in " + took : ": " + reason_of(arm)));
}

// From number `next` on, as long as there is room; what is done already is passed over.
void ArmRunner::start_more(const std::vector<Arm>& arms, size_t at_a_time, size_t& next,
                           std::vector<ArmStatus>& statuses) {
  for (; next < arms.size() && running_.size() < at_a_time; ++next) {
    const ArmStatus known = status_of(arms[next]);
    const int64_t number = ++arm_;
    if (known == ArmStatus::done || known == ArmStatus::diverged) {
      count(arms[next], number, statuses[next] = known, "");
      continue;
    }
    if (!terminal_) line(message("compare  arm ", number, "/", arms_, "  ", name_of(arms[next])));
    const auto gpus = at_a_time > 1 ? free_gpus(arms[next]) : std::vector<size_t>();
    running_.push_back({next, number, gpus, Clock::now(), machine_cpu_seconds(), start(arms[next], gpus)});
  }
}

// Those that have ended; of them the ones that are done.
std::vector<size_t> ArmRunner::take_ended(const std::vector<Arm>& arms, size_t at_a_time,
                                          std::vector<ArmStatus>& statuses) {
  std::vector<size_t> done;
  for (size_t i = 0; i < running_.size();) {
    if (!running_[i].process->has_ended()) {
      ++i;
      continue;
    }
    const Running one = std::move(running_[i]);
    running_.erase(running_.begin() + static_cast<std::ptrdiff_t>(i));
    const Arm& arm = arms[one.index];
    const double took = seconds_since(one.start);
    steps_performed_ += arm.steps;
    const ArmStatus status = statuses[one.index] = ended(arm, one.process->end());
    if (status == ArmStatus::done) {
      // Arms at a time are others to each other, of which this would tell nothing.
      const double others =
          at_a_time > 1 ? 0
                        : others_cpu_share(machine_cpu_seconds() - one.machine_cpu, one.process->cpu_seconds(), took);
      keep_conditions(arm, {static_cast<int>(at_a_time), others});
      done.push_back(one.index);
    }
    count(arm, one.number, status, duration(took));
  }
  return done;
}

std::vector<ArmStatus> ArmRunner::perform(const std::vector<Arm>& arms, const WhenDone& when_done) {
  std::vector<ArmStatus> statuses(arms.size(), ArmStatus::waiting);
  const size_t at_a_time = std::min(at_once_, arms.size());
  std::vector<size_t> done;  // and not told of yet
  began_ = Clock::now();
  size_t next = 0;
  try {
    while (next < arms.size() || !running_.empty()) {
      interruption_.check();
      start_more(arms, at_a_time, next, statuses);
      if (!running_.empty()) std::this_thread::sleep_for(between_looks);
      show(arms);
      for (const size_t index : take_ended(arms, at_a_time, statuses)) done.push_back(index);
      if (!running_.empty() || (at_a_time > 1 && next < arms.size())) continue;
      for (const size_t index : std::exchange(done, {}))
        if (when_done) when_done(arms[index], [&] { interruption_.check(); });
    }
  } catch (...) {
    stop_all();
    throw;
  }
  seconds_ += seconds_since(began_);
  return statuses;
}

ArmStatus ArmRunner::perform(const Arm& arm) { return perform(std::vector{arm}).front(); }

}  // namespace interlock
