#pragma once
// The tables of a comparison, for its page and for Markdown alike.

#include "launch/comparison/outcome.h"
#include "launch/page/table.h"

namespace interlock {

Table rules_table(const Outcome& outcome, int stages);  // quality and time of each group
Table costs_table(const Outcome& outcome, int stages);  // speed, idle shares, memory, messages, operations
Table frames_table(const Outcome& outcome);             // losses at equal budgets
Table memory_table(const Outcome& outcome);             // test losses at equal memory
Table targets_table(const Outcome& outcome);            // steps, times and operations to target losses
Table break_even_table(const Outcome& outcome);
Table search_table(const Outcome& outcome);
Table arms_table(const Outcome& outcome);
Table shared_table(const Outcome& outcome);

}  // namespace interlock
