#pragma once
// The exit code of a run that lost a rank or hung: it can be started again, from its newest checkpoint. (Beside error.h
// because few say it, and everything includes that one.)

#include "runtime/core/error.h"

namespace interlock {

inline constexpr ExitCode lost_rank{71};

}  // namespace interlock
