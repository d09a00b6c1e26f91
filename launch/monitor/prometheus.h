#pragma once
// What `status` shows, as Prometheus reads it.

#include <string>

#include "launch/monitor/run_status.h"

namespace interlock {

// The text exposition format, version 0.0.4. What is not known is left out.
std::string prometheus_text(const RunStatus& status);

}  // namespace interlock
