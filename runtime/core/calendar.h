#pragma once

#include <string>

namespace interlock {

std::string now_utc();  // "2026-01-31T12:00:00Z"

}  // namespace interlock
