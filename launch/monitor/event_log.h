#pragma once
// What happened to a run beside its training: events.jsonl of its folder, and a table for people.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace interlock {

struct RunEvent {
  std::string event;            // "lost", "hung", "gave_up", "restart", "stopped", "ended", "skipped", "rewound"
  std::optional<int64_t> rank;  // the one that it is about
  int64_t step = 0;             // the furthest that any rank had begun
  std::string reason;
  std::string time = {};  // filled by add(): UTC, ISO 8601
};

// The last one that was written for a run; none: nothing happened, or nobody can read it.
std::optional<RunEvent> last_event(const std::string& run_folder);

class EventLog {
 public:
  explicit EventLog(std::string run_folder) : run_folder_(std::move(run_folder)) {}
  // Appends one JSON object on a line, with the fields above. Before the ranks have made the folder events are kept
  // until the next one. A file that cannot be written costs a warning.
  void add(RunEvent event);
  bool empty() const { return events_.empty(); }
  std::string table() const;

  static constexpr const char* file_name = "events.jsonl";

 private:
  std::string run_folder_;
  std::vector<RunEvent> events_;
  size_t written_ = 0;
};

}  // namespace interlock
