#include "runtime/observe/chrome_events.h"

#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "runtime/core/error.h"

namespace interlock {
namespace {

constexpr const char* track_names[trace_tracks] = {"compute", "waiting", "communication"};

std::string quoted(const std::string& text) {
  return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::string microseconds(int64_t nanoseconds) {
  char text[32];
  std::snprintf(text, sizeof text, "%lld.%03lld", static_cast<long long>(nanoseconds / 1000),
                static_cast<long long>(nanoseconds % 1000));
  return text;
}

std::string place(int rank, int thread) { return message("\"pid\":", rank, ",\"tid\":", thread); }

std::string meta(const std::string& what, int rank, int thread, const std::string& key, const std::string& value) {
  return message("{\"ph\":\"M\",\"name\":\"", what, "\",", place(rank, thread), ",\"args\":{\"", key, "\":", value,
                 "}}");
}

}  // namespace

std::vector<std::string> process_names(int rank, const std::string& host, double clock_error) {
  std::vector<std::string> events{
      meta("process_name", rank, 0, "name", quoted(message("rank ", rank, " (", host, ")"))),
      meta("process_sort_index", rank, 0, "sort_index", std::to_string(rank))};
  if (clock_error > 0) {
    const auto bound = message("clock within ", std::llround(clock_error * 1e6), " us");
    events.push_back(meta("process_labels", rank, 0, "labels", quoted(bound)));
  }
  return events;
}

std::vector<std::string> thread_names(int rank, int thread) {
  const int track = thread % trace_tracks, lane = thread / trace_tracks;
  const auto name = message(track_names[track], lane == 0 ? "" : message(" ", lane + 1));
  const int order = track * 1000 + lane;  // lanes of a track lie side by side
  return {meta("thread_name", rank, thread, "name", quoted(name)),
          meta("thread_sort_index", rank, thread, "sort_index", std::to_string(order))};
}

std::string slice_event(int rank, int thread, const TraceSlice& slice, int64_t begin, int64_t end) {
  return message("{\"ph\":\"X\",\"name\":", quoted(slice.name), ",\"cat\":\"",
                 track_names[static_cast<int>(slice.track)], "\",", place(rank, thread),
                 ",\"ts\":", microseconds(begin), ",\"dur\":", microseconds(end - begin),
                 ",\"args\":{\"step\":", slice.step, "}}");
}

// Identifiers are hexadecimal texts: a JSON number holds 53 bits exactly.
std::string arrow_event(char phase, uint64_t flow, int rank, int thread, int64_t at) {
  char id[24];
  std::snprintf(id, sizeof id, "0x%llx", static_cast<unsigned long long>(flow));
  return message("{\"ph\":\"", phase, "\",\"name\":\"message\",\"cat\":\"message\",\"id\":\"", id, "\",",
                 phase == 'f' ? "\"bp\":\"e\"," : "", place(rank, thread), ",\"ts\":", microseconds(at), "}");
}

}  // namespace interlock
