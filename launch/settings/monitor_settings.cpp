#include "launch/settings/monitor_settings.h"

namespace interlock {

MonitorSettings MonitorSettings::from(const Section& monitor) {
  return {monitor.integer("stall_seconds", 60, 1, 1 << 30), monitor.integer("startup_seconds", 600, 1, 1 << 30)};
}

}  // namespace interlock
