#pragma once
// The page of one run, or of several beside each other: what a person opens after a training.

#include <string>
#include <vector>

#include "launch/page/table.h"
#include "launch/run_report/run_record.h"

namespace interlock {

// `command` is what made the page, for its last section. HTML.
std::string page_of_runs(const std::vector<RunRecord>& runs, const std::string& command);

// Keys whose values are not the same in all runs, `run.folder` apart: a row for each key, a column for each run.
Table config_differences(const std::vector<RunRecord>& runs);

}  // namespace interlock
