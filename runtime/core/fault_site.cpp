#include "runtime/core/fault_site.h"

namespace interlock {

void fault_site(std::string_view, int64_t) {}

}  // namespace interlock
