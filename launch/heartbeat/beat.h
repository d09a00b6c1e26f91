#pragma once
// What a beat and a dump hold: records of ranks, those of a beat without the actions before the last one.

#include <string>
#include <string_view>
#include <vector>

#include "runtime/observe/pulse.h"

namespace interlock {

// Payloads of at most largest_payload bytes each, as many as the records need.
std::vector<std::string> beats_of(const std::vector<PulseRecord>& records);
std::string dump_of(const PulseRecord& record);

// The records of ranks 0 to ranks - 1. ProtocolError for anything else.
std::vector<PulseRecord> records_of_beat(std::string_view payload, int ranks);
PulseRecord record_of_dump(std::string_view payload, int ranks);

}  // namespace interlock
