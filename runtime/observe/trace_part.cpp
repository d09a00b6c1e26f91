#include "runtime/observe/trace_part.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "runtime/core/error.h"
#include "runtime/core/log.h"
#include "runtime/core/readable_file.h"
#include "runtime/observe/chrome_events.h"
#include "runtime/observe/output_file.h"
#include "runtime/storage/atomic_file.h"

namespace interlock {
namespace {

namespace fs = std::filesystem;

constexpr size_t buffer_bytes = 256 * 1024;

}  // namespace

std::string trace_part_folder(const std::string& run_folder) { return (fs::path(run_folder) / "trace").string(); }

TracePart::TracePart(const std::string& run_folder, RankTrace rank) : rank_(std::move(rank)) {
  char name[32];
  std::snprintf(name, sizeof name, "rank-%05d.json", rank_.rank);
  path_ = (fs::path(trace_part_folder(run_folder)) / name).string();
}

// The first lane of its track that is free again.
int TracePart::thread_for(const TraceSlice& slice, int64_t begin, int64_t end) {
  const auto track = static_cast<int>(slice.track);
  std::vector<int64_t>& lanes = lanes_[static_cast<size_t>(track)];
  const auto free = std::ranges::find_if(lanes, [&](int64_t busy_until) { return busy_until <= begin; });
  const auto lane = static_cast<int>(free - lanes.begin());
  if (free == lanes.end()) lanes.push_back(0);
  lanes[static_cast<size_t>(lane)] = end;
  return track + trace_tracks * lane;
}

std::string TracePart::events_of(const TraceSlice& slice) {
  const auto begin = std::llround((slice.begin + rank_.clock_offset) * 1e9);
  const auto end = std::max<int64_t>(std::llround((slice.end + rank_.clock_offset) * 1e9), begin + 1);
  const size_t lanes_before = lanes_[static_cast<size_t>(slice.track)].size();
  const int thread = thread_for(slice, begin, end);
  std::string text;
  const auto add = [&](const std::string& event) { text += ",\n" + event; };
  if (lanes_[static_cast<size_t>(slice.track)].size() > lanes_before)
    for (const std::string& event : thread_names(rank_.rank, thread)) add(event);
  add(slice_event(rank_.rank, thread, slice, begin, end));
  if (slice.flow_out != 0) add(arrow_event('s', slice.flow_out, rank_.rank, thread, begin));
  if (slice.flow_in != 0) add(arrow_event('f', slice.flow_in, rank_.rank, thread, end - 1));
  return text;
}

void TracePart::add(const std::vector<TraceSlice>& slices) {
  if (failed_ || slices.size() <= written_) return;
  std::string text;
  for (const std::string& event : process_names(rank_.rank, rank_.host, rank_.clock_error))
    if (written_ == 0) text += (text.empty() ? "[\n" : ",\n") + event;
  for (size_t i = written_; i < slices.size(); ++i) text += events_of(slices[i]);
  try {
    OutputFile file(path_, buffer_bytes, written_ == 0 ? OutputFile::Start::empty : OutputFile::Start::end);
    file.append(text);
    file.flush();
    written_ = slices.size();
  } catch (const Error& error) {
    failed_ = true;
    log_warning(message("if the run dies, it leaves no trace of rank ", rank_.rank, ": ", error.what()));
  }
}

bool join_trace_parts(const std::string& run_folder) {
  std::vector<fs::path> parts;
  std::error_code absent;
  for (const auto& entry : fs::directory_iterator(trace_part_folder(run_folder), absent))
    if (entry.path().filename().string().starts_with("rank-") && is_regular_file(entry.path().string()))
      parts.push_back(entry.path());
  if (parts.empty()) return false;
  std::ranges::sort(parts);
  std::string text = "{\"displayTimeUnit\":\"ms\",\"traceEvents\":[";
  bool first = true;
  for (const fs::path& part : parts) {
    std::ifstream file(part);
    for (std::string line; std::getline(file, line);) {
      if (line.ends_with(',')) line.pop_back();
      if (!line.starts_with('{') || !nlohmann::json::accept(line)) continue;
      text += (first ? "\n" : ",\n") + line;
      first = false;
    }
  }
  write_atomically((fs::path(run_folder) / "trace.json").string(), text + "\n]}\n");
  return true;
}

}  // namespace interlock
