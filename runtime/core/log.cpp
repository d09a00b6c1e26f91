// The one logger of the process, writing to stderr.

#include "runtime/core/log.h"

#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>
#include <cstdio>

#include <memory>
#include <mutex>

#include "runtime/core/printable.h"

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

}  // namespace

void start_log(int rank) {
  logger().set_pattern(rank < 0 ? "%^%v%$" : "%^[rank " + std::to_string(rank) + "] %v%$");
  logger().set_level(rank <= 0 ? spdlog::level::info : spdlog::level::warn);
}

void log_info(const std::string& text) { logger().info("{}", printable_lines(text)); }
void log_warning(const std::string& text) { logger().warn("warning: {}", printable_lines(text)); }
void log_error(const std::string& text) { logger().error("error: {}", printable_lines(text)); }
void flush_log() { logger().flush(); }

void say_error(const std::string& text) {
  flush_log();
  const std::string line = "interlock: error: " + printable_lines(text) + "\n";
  std::fwrite(line.data(), 1, line.size(), stderr);  // stderr is unbuffered: one call, one write
}

}  // namespace interlock
