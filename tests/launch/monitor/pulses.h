#pragma once
// Ranks as they would tell of themselves, and their files.

#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>

#include "runtime/observe/pulse.h"

namespace interlock::test {

inline PulseRecord pulse_of(int64_t rank, int64_t step, const std::string& action, int64_t waits_for = waits_for_nobody,
                            double step_seconds = 1) {
  PulseRecord pulse;
  pulse.session = 7;
  pulse.rank = rank;
  pulse.pid = 1;
  pulse.phase = PulsePhase::training;
  pulse.step = step;
  pulse.steps_done = step;
  pulse.actions = 1;
  pulse.waits_for = waits_for;
  std::strcpy(pulse.host, "far-away");
  std::strcpy(pulse.last[0].text, action.c_str());
  pulse.last[0].step = step;
  pulse.step_seconds.fill(static_cast<float>(step_seconds));
  pulse.busy_seconds.fill(static_cast<float>(step_seconds / 2));
  return pulse;
}

inline void put_pulse(const std::string& run_folder, PulseRecord pulse, uint64_t beat) {
  pulse.beat = pulse.beat_again = beat;
  std::filesystem::create_directories(pulse_folder(run_folder));
  char name[32];
  std::snprintf(name, sizeof name, "/rank-%05d", static_cast<int>(pulse.rank));
  std::ofstream(pulse_folder(run_folder) + name, std::ios::binary)
      .write(reinterpret_cast<const char*>(&pulse), sizeof pulse);
}

}  // namespace interlock::test
