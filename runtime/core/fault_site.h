#pragma once

#include <cstdint>
#include <string_view>

namespace interlock {

// A place at which a test makes the process fail: `place` is the kind of an action of the plan ("F", "SEND_B", "U").
// Empty here; a program that tests start links another in its stead (tests/support/fault_site.cpp).
void fault_site(std::string_view place, int64_t step);

}  // namespace interlock
