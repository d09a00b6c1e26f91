// Owns the Chrome trace file. Viewers need the slices of one thread track to nest: slices that overlap only in part
// (two sends on the way at once) go to further lanes of their track. Arithmetic is in whole nanoseconds, so that
// rounding cannot unnest.
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <nlohmann/json.hpp>
#include <unordered_set>

#include "runtime/core/error.h"
#include "runtime/observe/output_file.h"
#include "runtime/observe/trace.h"

namespace interlock {
namespace {

constexpr int kTracks = 3;
constexpr const char* kTrackNames[kTracks] = {"compute", "waiting", "communication"};
constexpr size_t kBufferBytes = 256 * 1024;

struct Placed {
  const TraceSlice* slice;
  int64_t begin, end;  // nanoseconds since the earliest slice of all ranks
  int thread;          // track + kTracks * lane
};

std::string quoted(const std::string& text) {
  return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::string microseconds(int64_t nanoseconds) {
  char text[32];
  std::snprintf(text, sizeof text, "%lld.%03lld", static_cast<long long>(nanoseconds / 1000),
                static_cast<long long>(nanoseconds % 1000));
  return text;
}

double earliest(const std::vector<RankTrace>& ranks) {
  double first = std::numeric_limits<double>::infinity();
  for (const RankTrace& rank : ranks) {
    for (const TraceSlice& slice : rank.slices) first = std::min(first, slice.begin + rank.clock_offset);
  }
  return std::isfinite(first) ? first : 0.0;
}

// The open slices of one lane, innermost last.
class Lane {
 public:
  bool accepts(int64_t begin, int64_t end) {
    while (!open_.empty() && open_.back() <= begin) open_.pop_back();
    return open_.empty() || end <= open_.back();
  }
  void add(int64_t end) { open_.push_back(end); }

 private:
  std::vector<int64_t> open_;
};

// Slices of one rank on rank 0's clock, in order of time, each on the first lane of its track where it nests.
std::vector<Placed> placed(const RankTrace& rank, double origin) {
  std::vector<Placed> all;
  all.reserve(rank.slices.size());
  for (const TraceSlice& slice : rank.slices) {
    const auto begin = std::llround((slice.begin + rank.clock_offset - origin) * 1e9);
    const auto end = std::llround((slice.end + rank.clock_offset - origin) * 1e9);
    all.push_back({&slice, begin, std::max<int64_t>(end, begin + 1), static_cast<int>(slice.track)});
  }
  std::stable_sort(all.begin(), all.end(), [](const Placed& one, const Placed& other) {
    return one.begin != other.begin ? one.begin < other.begin : one.end > other.end;  // the enclosing one first
  });
  std::vector<Lane> lanes[kTracks];
  for (Placed& item : all) {
    auto& track = lanes[item.thread];
    size_t lane = 0;
    while (lane < track.size() && !track[lane].accepts(item.begin, item.end)) ++lane;
    if (lane == track.size()) track.emplace_back();
    track[lane].add(item.end);
    item.thread += kTracks * static_cast<int>(lane);
  }
  return all;
}

// Recording stops at a step or at a number of slices, so one end of a message may be missing: such get no arrow.
std::unordered_set<uint64_t> paired_flows(const std::vector<RankTrace>& ranks) {
  std::unordered_set<uint64_t> sent, paired;
  for (const RankTrace& rank : ranks) {
    for (const TraceSlice& slice : rank.slices) sent.insert(slice.flow_out);
  }
  for (const RankTrace& rank : ranks) {
    for (const TraceSlice& slice : rank.slices) {
      if (slice.flow_in != 0 && sent.contains(slice.flow_in)) paired.insert(slice.flow_in);
    }
  }
  return paired;
}

class EventList {
 public:
  explicit EventList(OutputFile& file) : file_(file) { file_.append("{\"displayTimeUnit\":\"ms\",\"traceEvents\":["); }
  void add(const std::string& event) {
    file_.append(first_ ? "\n" : ",\n");
    file_.append(event);
    first_ = false;
  }
  void end() { file_.append("\n]}\n"); }

 private:
  OutputFile& file_;
  bool first_ = true;
};

std::string place(int rank, int thread) { return message("\"pid\":", rank, ",\"tid\":", thread); }

std::string meta(const std::string& what, int rank, int thread, const std::string& key, const std::string& value) {
  return message("{\"ph\":\"M\",\"name\":\"", what, "\",", place(rank, thread), ",\"args\":{\"", key, "\":", value,
                 "}}");
}

void add_names(EventList& events, const RankTrace& rank, const std::vector<Placed>& slices) {
  const auto title = quoted(message("rank ", rank.rank, " (", rank.host, ")"));
  events.add(meta("process_name", rank.rank, 0, "name", title));
  events.add(meta("process_sort_index", rank.rank, 0, "sort_index", std::to_string(rank.rank)));
  if (rank.clock_error > 0) {
    const auto bound = message("clock within ", std::llround(rank.clock_error * 1e6), " us");
    events.add(meta("process_labels", rank.rank, 0, "labels", quoted(bound)));
  }
  int last = kTracks - 1;
  for (const Placed& item : slices) last = std::max(last, item.thread);
  for (int thread = 0; thread <= last; ++thread) {
    const int lane = thread / kTracks;
    const bool used = lane == 0 || std::any_of(slices.begin(), slices.end(),
                                               [&](const Placed& item) { return item.thread == thread; });
    if (!used) continue;
    const auto name = message(kTrackNames[thread % kTracks], lane == 0 ? "" : message(" ", lane + 1));
    events.add(meta("thread_name", rank.rank, thread, "name", quoted(name)));
    const int order = thread % kTracks * 1000 + lane;  // lanes of a track lie side by side
    events.add(meta("thread_sort_index", rank.rank, thread, "sort_index", std::to_string(order)));
  }
}

// Identifiers are hexadecimal texts: a JSON number holds 53 bits exactly. An arrow leaves where a send begins and
// enters within the last nanosecond of a receive, because a viewer ties it to the slice that is open at that moment.
void add_arrow(EventList& events, char phase, uint64_t flow, int rank, int thread, int64_t at) {
  char id[24];
  std::snprintf(id, sizeof id, "0x%llx", static_cast<unsigned long long>(flow));
  events.add(message("{\"ph\":\"", phase, "\",\"name\":\"message\",\"cat\":\"message\",\"id\":\"", id, "\",",
                     phase == 'f' ? "\"bp\":\"e\"," : "", place(rank, thread), ",\"ts\":", microseconds(at), "}"));
}

void write_events(OutputFile& file, const std::vector<RankTrace>& ranks) {
  const double origin = earliest(ranks);
  const auto paired = paired_flows(ranks);
  EventList events(file);
  for (const RankTrace& rank : ranks) {
    const auto slices = placed(rank, origin);
    add_names(events, rank, slices);
    for (const Placed& item : slices) {
      const TraceSlice& slice = *item.slice;
      events.add(message("{\"ph\":\"X\",\"name\":", quoted(slice.name), ",\"cat\":\"",
                         kTrackNames[static_cast<int>(slice.track)], "\",", place(rank.rank, item.thread),
                         ",\"ts\":", microseconds(item.begin), ",\"dur\":", microseconds(item.end - item.begin),
                         ",\"args\":{\"step\":", slice.step, "}}"));
      if (paired.contains(slice.flow_out)) add_arrow(events, 's', slice.flow_out, rank.rank, item.thread, item.begin);
      if (paired.contains(slice.flow_in)) add_arrow(events, 'f', slice.flow_in, rank.rank, item.thread, item.end - 1);
    }
  }
  events.end();
}

}  // namespace

void write_chrome_trace(const std::string& path, const std::vector<RankTrace>& ranks) {
  const std::string partial = path + ".partial";
  try {
    OutputFile file(partial, kBufferBytes);
    write_events(file, ranks);
    file.sync();
  } catch (...) {
    ::unlink(partial.c_str());
    throw;
  }
  if (std::rename(partial.c_str(), path.c_str()) != 0) {
    ::unlink(partial.c_str());
    throw Error(ExitCode::cannot_write, message("cannot put the trace in place at ", path, "; is it a folder?"));
  }
}

}  // namespace interlock
