#pragma once
// Ranks as threads of one process: for tests, debugging and `transport = "loopback"`. Payloads are copied, so that
// nobody sees another rank's memory, exactly as over a network.

#include <functional>
#include <memory>
#include <vector>

#include "parallel/transport/transport.h"

namespace interlock {

// The transports of `size` ranks that can reach each other.
std::vector<std::unique_ptr<Transport>> make_loopback(int size);

// Runs `body(transport)` on one thread per rank and joins them. When one throws, the others' waits throw too and the
// first real failure is rethrown, its message prefixed with the rank ("rank 2: ...").
void run_loopback(int size, const std::function<void(Transport&)>& body);

}  // namespace interlock
