#include "launch/run_report/measured_trace.h"

#include <algorithm>
#include <filesystem>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "runtime/core/error.h"
#include "runtime/storage/atomic_file.h"
#include "runtime/storage/json_file.h"

namespace interlock {
namespace {

using nlohmann::json;

struct Span {
  double begin = std::numeric_limits<double>::infinity(), end = 0;
  void take(const MeasuredSlice& slice) {
    begin = std::min(begin, slice.begin);
    end = std::max(end, slice.end);
  }
  double length() const { return end - begin; }
};

Span span_of(const std::vector<MeasuredSlice>& rank, int64_t step) {
  Span span;
  for (const MeasuredSlice& slice : rank)
    if (slice.step == step && slice.track != Track::communication) span.take(slice);
  return span;
}

std::set<int64_t> steps_of(const std::vector<MeasuredSlice>& rank) {
  std::set<int64_t> steps;
  for (const MeasuredSlice& slice : rank) steps.insert(slice.step);
  return steps;
}

// Recorded by every rank, without the first.
std::vector<int64_t> whole_steps(const MeasuredTrace& trace) {
  std::map<int64_t, size_t> seen;
  for (const auto& rank : trace.ranks)
    for (const int64_t step : steps_of(rank)) ++seen[step];
  std::vector<int64_t> steps;
  for (const auto& [step, ranks] : seen)
    if (ranks == trace.ranks.size() && step > 0) steps.push_back(step);
  if (steps.size() > 1) steps.erase(steps.begin());
  return steps;
}

size_t digits_of(const std::string& name) { return std::min(name.find_first_not_of("0123456789"), name.size()); }

bool one_stage(const std::vector<MeasuredSlice>& rank) {
  std::set<std::string> stages;
  for (const MeasuredSlice& slice : rank)
    if (slice.track == Track::compute && digits_of(slice.name) > 0)
      stages.insert(slice.name.substr(0, digits_of(slice.name)));
  return stages.size() <= 1;
}

}  // namespace

std::optional<MeasuredTrace> read_trace(const std::string& path, std::string& why) {
  std::error_code absent;
  if (!std::filesystem::exists(path, absent)) {
    why = "there is no trace.json: the run has not ended";
    return std::nullopt;
  }
  const json file = read_json(path, most_record_bytes);
  if (!file.is_object() || !file.contains("traceEvents")) {
    why = "trace.json is damaged";
    return std::nullopt;
  }
  std::map<int, std::vector<MeasuredSlice>> ranks;
  for (const json& event : file["traceEvents"]) {
    if (event.value("ph", "") != "X") continue;
    const std::string category = event.value("cat", "");
    MeasuredSlice slice;
    slice.track = category == "waiting"         ? Track::waiting
                  : category == "communication" ? Track::communication
                                                : Track::compute;
    slice.begin = event.value("ts", 0.0) * 1e-6;
    slice.end = slice.begin + event.value("dur", 0.0) * 1e-6;
    slice.name = event.value("name", "");
    if (const auto args = event.find("args"); args != event.end()) slice.step = args->value("step", int64_t{0});
    ranks[event.value("pid", 0)].push_back(std::move(slice));
  }
  MeasuredTrace trace;
  for (auto& [rank, slices] : ranks) {
    std::ranges::stable_sort(slices, {}, &MeasuredSlice::begin);
    trace.ranks.push_back(std::move(slices));
  }
  if (trace.ranks.empty() || whole_steps(trace).empty()) {
    why = "trace.json holds no step (run.trace_steps says how many are recorded)";
    return std::nullopt;
  }
  return trace;
}

int64_t typical_step(const MeasuredTrace& trace) {
  std::vector<std::pair<double, int64_t>> lengths;
  for (const int64_t step : whole_steps(trace)) {
    Span all;
    for (const auto& rank : trace.ranks) {
      const Span span = span_of(rank, step);
      all.begin = std::min(all.begin, span.begin);
      all.end = std::max(all.end, span.end);
    }
    lengths.emplace_back(all.length(), step);
  }
  if (lengths.empty()) return 0;
  std::ranges::sort(lengths);
  return lengths[lengths.size() / 2].second;
}

TimelineBar bar_of(const std::string& name, double begin, double end, bool with_stage) {
  const std::string action = name.substr(0, name.find('@'));
  const size_t digits = digits_of(action);
  TimelineBar bar{'U', begin, end, with_stage ? action : action.substr(digits)};
  if (digits < action.size() && std::string("FLIWBU").find(action[digits]) != std::string::npos &&
      (digits + 1 == action.size() || digits_of(action.substr(digits + 1)) == action.size() - digits - 1))
    bar.kind = action[digits];
  return bar;
}

TimelineGroup measured_step(const MeasuredTrace& trace, int64_t step) {
  double start = std::numeric_limits<double>::infinity();
  for (const auto& rank : trace.ranks) start = std::min(start, span_of(rank, step).begin);
  const bool with_stage = !std::ranges::all_of(trace.ranks, one_stage);
  TimelineGroup group;
  for (size_t rank = 0; rank < trace.ranks.size(); ++rank) {
    group.row_names.push_back(message("rank ", rank));
    auto& row = group.rows.emplace_back();
    for (const MeasuredSlice& slice : trace.ranks[rank]) {
      if (slice.step != step) continue;
      const double begin = std::max(0.0, slice.begin - start), end = slice.end - start;
      if (slice.track == Track::compute) {
        row.push_back(bar_of(slice.name, begin, end, with_stage));
      } else {
        row.push_back({slice.track == Track::waiting ? '.' : '-', begin, end, ""});
      }
    }
    // Sends begin in one step and may end far into the next: they do not stretch the picture.
    const double last = span_of(trace.ranks[rank], step).end - start;
    for (TimelineBar& bar : row)
      if (bar.kind == '-') bar.end = std::max(bar.begin, std::min(bar.end, last));
  }
  return group;
}

std::vector<RankShares> shares_of(const MeasuredTrace& trace) {
  const std::vector<int64_t> steps = whole_steps(trace);
  const std::set<int64_t> counted(steps.begin(), steps.end());
  std::vector<RankShares> all;
  for (const auto& rank : trace.ranks) {
    Span window;
    RankShares shares;
    double sent_until = 0;
    for (const MeasuredSlice& slice : rank) {
      if (!counted.contains(slice.step)) continue;
      const double seconds = slice.end - slice.begin;
      if (slice.track == Track::communication) {  // messages overlap: their union counts
        shares.sending += std::max(0.0, slice.end - std::max(slice.begin, sent_until));
        sent_until = std::max(sent_until, slice.end);
        continue;
      }
      window.take(slice);
      (slice.track == Track::compute ? shares.computing : shares.waiting) += seconds;
    }
    if (const double length = window.length(); length > 0) {
      shares.computing /= length;
      shares.waiting /= length;
      shares.sending = std::min(1.0, shares.sending / length);
      shares.other = std::max(0.0, 1 - shares.computing - shares.waiting);
    }
    all.push_back(shares);
  }
  return all;
}

}  // namespace interlock
