#include "runtime/core/heap.h"

#include <malloc.h>

#include <limits>

namespace interlock {

void keep_freed_memory() {
  mallopt(M_MMAP_MAX, 0);  // large blocks come from the heap as well
  mallopt(M_TRIM_THRESHOLD, std::numeric_limits<int>::max());
}

}  // namespace interlock
