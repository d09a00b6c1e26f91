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
  MonitorSettings settings{monitor.integer("stall_seconds", 60, 1, 1 << 30),
                           monitor.integer("startup_seconds", 600, 1, 1 << 30), address(monitor, "listen"),
                           address(monitor, "metrics")};
  if (settings.listen && settings.listen->address == "0.0.0.0")
    monitor.refuse("listen",
                   "would listen on every network of the machine; name the address of the one that ranks "
                   "are reached by");
  if (settings.metrics && !settings.metrics->is_loopback())
    monitor.refuse("metrics", "answers whoever asks, so it listens on 127.0.0.1 only");
  return settings;
}

}  // namespace interlock
