#pragma once
// A status line without an end stands on the terminal while log lines come: whoever keeps one wipes it for them.

#include <functional>

namespace interlock {

// `wipe` is called before every log line, on the thread of that one; an empty one ends that. One at a time.
void wipe_before_log(std::function<void()> wipe);

}  // namespace interlock
