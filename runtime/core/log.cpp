// The one logger of the process, writing to stderr.

#include "runtime/core/log.h"

#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>
#include <cstdio>

#include <memory>
#include <mutex>
#include <utility>

#include "runtime/core/printable.h"
#include "runtime/core/status_line.h"

namespace interlock {
namespace {

// Made on first use, so that a message before start_log (or without it, in tests) is not lost.
spdlog::logger& logger() {
  static const std::shared_ptr<spdlog::logger> instance = [] {
    auto made = std::make_shared<spdlog::logger>("interlock", std::make_shared<spdlog::sinks::stderr_color_sink_mt>());
    made->set_pattern("%^%v%$");
    made->flush_on(spdlog::level::info);
    return made;
  }();
  return *instance;
}

struct Wiper {
  std::mutex mutex;
  std::function<void()> wipe;
};
Wiper& wiper() {
  static Wiper instance;
  return instance;
}

void wipe_status_line() {
  const std::lock_guard lock(wiper().mutex);
  if (wiper().wipe) wiper().wipe();
}

// Wiped only for what is told.
template <class Tell>
void tell(spdlog::level::level_enum level, Tell tell_it) {
  if (logger().should_log(level)) wipe_status_line();
  tell_it();
}

}  // namespace

void wipe_before_log(std::function<void()> wipe) {
  const std::lock_guard lock(wiper().mutex);
  wiper().wipe = std::move(wipe);
}

void start_log(int rank) {
  logger().set_pattern(rank < 0 ? "%^%v%$" : "%^[rank " + std::to_string(rank) + "] %v%$");
  logger().set_level(rank <= 0 ? spdlog::level::info : spdlog::level::warn);
}

void log_info(const std::string& text) {
  tell(spdlog::level::info, [&] { logger().info("{}", printable_lines(text)); });
}
void log_warning(const std::string& text) {
  tell(spdlog::level::warn, [&] { logger().warn("warning: {}", printable_lines(text)); });
}
void log_error(const std::string& text) {
  tell(spdlog::level::err, [&] { logger().error("error: {}", printable_lines(text)); });
}
void flush_log() { logger().flush(); }

void say_error(const std::string& text) {
  flush_log();
  wipe_status_line();
  const std::string line = "interlock: error: " + printable_lines(text) + "\n";
  std::fwrite(line.data(), 1, line.size(), stderr);  // stderr is unbuffered: one call, one write
}

}  // namespace interlock
