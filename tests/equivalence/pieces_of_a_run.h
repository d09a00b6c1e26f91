#pragma once
// A run in pieces: each goes on from the newest checkpoint of a folder.

#include <string>
#include <vector>

#include "launch/run/resume.h"
#include "tests/support/run_for_test.h"

namespace interlock {

using Overrides = std::vector<std::string>;

inline RunSettings settings_in(const std::string& folder, Overrides overrides) {
  overrides.insert(overrides.end(), {"run.folder='" + folder + "'", "run.steps=7", "checkpoint.every=2"});
  return settings_for_test(overrides);
}

// The steps of this process end after `until` (0: with the run).
inline TestRun go_on(const std::string& folder, const Overrides& overrides, int64_t until) {
  RunRequest request{find_checkpoint(folder), std::nullopt, true};
  if (until > 0) request.until = until;
  return run_on_loopback(settings_in(folder, overrides), request);
}

inline std::string digest_of_one_piece(const Overrides& overrides) {
  return run_on_loopback(settings_in(new_folder(), overrides)).digest;
}

}  // namespace interlock
