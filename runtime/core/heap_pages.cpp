#include <sys/types.h>

#include <cstddef>
#include <string>

#include "runtime/core/heap.h"

// Of jemalloc; null in programs with another heap.
extern "C" __attribute__((weak)) int mallctl(const char* name, void* old, size_t* old_size, void* value, size_t size);

namespace interlock {

void return_freed_pages() {
  if (mallctl == nullptr) return;
  ssize_t at_once = 0;
  for (const char* pages : {"dirty_decay_ms", "muzzy_decay_ms"}) {
    mallctl((std::string("arenas.") + pages).c_str(), nullptr, nullptr, &at_once, sizeof at_once);  // of those to come
    unsigned arenas = 0;
    size_t size = sizeof arenas;
    mallctl("arenas.narenas", &arenas, &size, nullptr, 0);
    for (unsigned i = 0; i < arenas; ++i)
      mallctl(("arena." + std::to_string(i) + "." + pages).c_str(), nullptr, nullptr, &at_once, sizeof at_once);
  }
}

}  // namespace interlock
