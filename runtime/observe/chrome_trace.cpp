// Owns the Chrome trace file. Viewers need the slices of one thread track to nest: slices that overlap only in part
// (two sends on the way at once) go to further lanes of their track. Arithmetic is in whole nanoseconds, so that
// rounding cannot unnest.
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <unordered_set>

#include "runtime/core/error.h"
#include "runtime/observe/chrome_events.h"
#include "runtime/observe/output_file.h"
#include "runtime/observe/trace.h"

namespace interlock {
namespace {

constexpr size_t kBufferBytes = 256 * 1024;

struct Placed {
  const TraceSlice* slice;
  int64_t begin, end;  // nanoseconds since the earliest slice of all ranks
  int thread;          // track + trace_tracks * lane
};

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
  std::vector<Lane> lanes[trace_tracks];
  for (Placed& item : all) {
    auto& track = lanes[item.thread];
    size_t lane = 0;
    while (lane < track.size() && !track[lane].accepts(item.begin, item.end)) ++lane;
    if (lane == track.size()) track.emplace_back();
    track[lane].add(item.end);
    item.thread += trace_tracks * static_cast<int>(lane);
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

void add_names(EventList& events, const RankTrace& rank, const std::vector<Placed>& slices) {
  for (const std::string& event : process_names(rank.rank, rank.host, rank.clock_error)) events.add(event);
  int last = trace_tracks - 1;
  for (const Placed& item : slices) last = std::max(last, item.thread);
  for (int thread = 0; thread <= last; ++thread) {
    const bool used = thread < trace_tracks || std::any_of(slices.begin(), slices.end(),
                                                           [&](const Placed& item) { return item.thread == thread; });
    if (!used) continue;
    for (const std::string& event : thread_names(rank.rank, thread)) events.add(event);
  }
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
      events.add(slice_event(rank.rank, item.thread, slice, item.begin, item.end));
      if (paired.contains(slice.flow_out))
        events.add(arrow_event('s', slice.flow_out, rank.rank, item.thread, item.begin));
      if (paired.contains(slice.flow_in))
        events.add(arrow_event('f', slice.flow_in, rank.rank, item.thread, item.end - 1));
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
