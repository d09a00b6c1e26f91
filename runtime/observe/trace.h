#pragma once
// A trace of what really happened: each rank records slices of time and the messages it sent and received; rank 0
// writes them as one Chrome trace (opens in Perfetto) with a track per rank and kind, and an arrow per message.
// Torch-free.

#include <cstdint>
#include <string>
#include <vector>

namespace interlock {

enum class TraceTrack : uint8_t { compute = 0, waiting = 1, communication = 2 };

struct TraceSlice {
  TraceTrack track;
  double begin, end;  // seconds on this rank's clock
  std::string name;   // "2F3", "wait 2F3", "2SEND_F3"
  int64_t step = 0;
  uint64_t flow_out = 0;  // id of the message this slice sends, 0: none
  uint64_t flow_in = 0;   // id of the message this slice received, 0: none
};

// One rank's record. Clock: std::chrono::steady_clock seconds. record() does nothing once `limit` slices are held.
class TraceRecorder {
 public:
  explicit TraceRecorder(int64_t last_step = 20, size_t limit = 200'000) : last_step_(last_step), limit_(limit) {}
  static double now();
  bool wants(int64_t step) const { return step <= last_step_ && slices_.size() < limit_; }
  void record(TraceSlice slice);
  std::string serialize() const;  // for sending to rank 0
  static std::vector<TraceSlice> deserialize(const std::string& bytes);
  const std::vector<TraceSlice>& slices() const { return slices_; }

 private:
  int64_t last_step_;
  size_t limit_;
  std::vector<TraceSlice> slices_;
};

struct RankTrace {
  int rank = 0;
  std::string host;
  double clock_offset = 0;  // seconds to add to this rank's clock to get rank 0's
  double clock_error = 0;   // bound on the error of that
  std::vector<TraceSlice> slices;
};

// {"traceEvents": [...], "displayTimeUnit": "ms"}: M names, X slices (pid = rank, tid = track), s/f flow arrows.
// Written atomically. Times start at the earliest slice.
void write_chrome_trace(const std::string& path, const std::vector<RankTrace>& ranks);

}  // namespace interlock
