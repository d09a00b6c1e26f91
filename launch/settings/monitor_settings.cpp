#include "launch/settings/monitor_settings.h"

namespace interlock {
namespace {

std::optional<ListenAddress> address(const Section& monitor, const std::string& key) {
  const std::string text = monitor.text(key, "");
  if (text.empty()) return std::nullopt;
  const auto found = ListenAddress::from(text);
  if (!found) monitor.refuse(key, "is no IPv4 address in numbers with a port, such as \"127.0.0.1:9400\"");
  return found;
}

}  // namespace

MonitorSettings MonitorSettings::from(const Section& monitor) {
  const auto seconds = [&](const char* key, int64_t standard) { return monitor.integer(key, standard, 1, 1 << 30); };
  MonitorSettings settings;
  settings.stall_seconds = seconds("stall_seconds", settings.stall_seconds);
  settings.startup_seconds = seconds("startup_seconds", settings.startup_seconds);
  settings.evaluation_seconds = seconds("evaluation_seconds", settings.stall_seconds);
  settings.checkpoint_seconds = seconds("checkpoint_seconds", settings.startup_seconds);
  settings.listen = address(monitor, "listen");
  settings.metrics = address(monitor, "metrics");
  if (settings.listen && settings.listen->address == "0.0.0.0")
    monitor.refuse("listen",
                   "would listen on every network of the machine; name the address of the one that ranks "
                   "are reached by");
  if (settings.metrics && !settings.metrics->is_loopback())
    monitor.refuse("metrics", "answers whoever asks, so it listens on 127.0.0.1 only");
  return settings;
}

}  // namespace interlock
