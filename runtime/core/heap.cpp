// The heap of a training process: jemalloc. Every microbatch allocates and frees tensors of the same sizes, and some of
// sizes that vary with the number of masked tokens; glibc's heap is left in pieces by that (roberta-tiny in one
// process: 498 MiB at its peak, where 150 MiB of tensors are alive; jemalloc 366 MiB, and 7 % faster). Freed pages are
// kept: giving them back to the kernel and touching them again costs a fault and a cleared page per 4 KiB. Large
// blocks, which jemalloc would put into an arena that returns them at once, are treated alike.

extern "C" {
// The name by which jemalloc finds its settings in a program.
extern const char* malloc_conf;
const char* malloc_conf = "dirty_decay_ms:-1,muzzy_decay_ms:-1,oversize_threshold:0";
}
