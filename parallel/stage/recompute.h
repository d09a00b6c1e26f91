#pragma once

namespace interlock {

// What is kept of a forward pass for the passes back: everything; the input of each segment; the input of the stage.
// The rest is computed again, to the same bits, because every draw is keyed.
enum class Recompute { none, block, stage };

}  // namespace interlock
