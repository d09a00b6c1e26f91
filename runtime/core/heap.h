#pragma once

namespace interlock {

// For a command that makes and frees large things of many sizes, where keeping freed pages costs more memory than it
// saves time: from here on they go back to the kernel at once. Does nothing where the heap is not jemalloc.
void return_freed_pages();

}  // namespace interlock
