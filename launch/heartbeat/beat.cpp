#include "launch/heartbeat/beat.h"

#include <cstddef>
#include <cstring>

#include "launch/heartbeat/frame.h"

namespace interlock {
namespace {

// Equal machines read it: numbers are as in memory. All fields but the list of actions, and the last of these.
constexpr size_t fields = offsetof(PulseRecord, last), action_bytes = sizeof(PulseRecord::Action),
                 short_record = fields + action_bytes;
static_assert(sizeof(PulseRecord) <= largest_payload);

size_t place_of_last(const PulseRecord& record) {
  return static_cast<size_t>(record.actions > 0 ? record.actions - 1 : 0) % PulseRecord::remembered;
}

PulseRecord checked(PulseRecord record, int ranks) {
  record.beat_again = record.beat;
  if (!make_safe(record) || record.rank >= ranks) throw ProtocolError("a record of no rank of this run");
  return record;
}

}  // namespace

std::vector<std::string> beats_of(const std::vector<PulseRecord>& records) {
  std::vector<std::string> payloads;
  for (const PulseRecord& record : records) {
    if (payloads.empty() || payloads.back().size() + short_record > largest_payload) payloads.emplace_back();
    payloads.back().append(reinterpret_cast<const char*>(&record), fields);
    payloads.back().append(reinterpret_cast<const char*>(&record.last[place_of_last(record)]), action_bytes);
  }
  return payloads;
}

std::string dump_of(const PulseRecord& record) { return {reinterpret_cast<const char*>(&record), sizeof record}; }

std::vector<PulseRecord> records_of_beat(std::string_view payload, int ranks) {
  if (payload.empty() || payload.size() % short_record != 0) throw ProtocolError("a beat of a strange length");
  std::vector<PulseRecord> records;
  for (; !payload.empty(); payload.remove_prefix(short_record)) {
    PulseRecord record;
    std::memcpy(static_cast<void*>(&record), payload.data(), fields);
    std::memcpy(&record.last[place_of_last(record)], payload.data() + fields, action_bytes);
    records.push_back(checked(record, ranks));
  }
  return records;
}

PulseRecord record_of_dump(std::string_view payload, int ranks) {
  PulseRecord record;
  if (payload.size() != sizeof record) throw ProtocolError("a dump of a strange length");
  std::memcpy(static_cast<void*>(&record), payload.data(), sizeof record);
  return checked(record, ranks);
}

}  // namespace interlock
