#pragma once
// How the heap of a training process behaves.

namespace interlock {

// Keeps freed memory in the process. Every microbatch allocates and frees the same tensors; by default glibc gives
// large ones back to the kernel each time, and touching them again costs a page fault and a cleared page per 4 KiB
// (measured here: 5 % of a step of the benchmark encoder). Called once, at the start of main.
void keep_freed_memory();

}  // namespace interlock
