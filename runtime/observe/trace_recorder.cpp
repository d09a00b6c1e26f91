// Owns a rank's record of slices and its form on the way to rank 0: fixed fields, then the name, per slice.
#include <chrono>
#include <cstring>
#include <type_traits>

#include "runtime/core/error.h"
#include "runtime/observe/trace.h"

namespace interlock {
namespace {

template <class T>
void put(std::string& bytes, T value) {
  static_assert(std::is_trivially_copyable_v<T>);
  bytes.append(reinterpret_cast<const char*>(&value), sizeof value);
}

[[noreturn]] void damaged() {
  throw Error(ExitCode::gave_up, "the trace of a rank arrived damaged; are all ranks of the same build?");
}

class Reader {
 public:
  explicit Reader(const std::string& bytes) : bytes_(bytes) {}
  bool done() const { return at_ == bytes_.size(); }
  template <class T>
  T get() {
    T value;
    std::memcpy(&value, take(sizeof value), sizeof value);
    return value;
  }
  std::string text(size_t length) { return {take(length), length}; }

 private:
  const char* take(size_t count) {
    if (count > bytes_.size() - at_) damaged();
    const char* here = bytes_.data() + at_;
    at_ += count;
    return here;
  }
  const std::string& bytes_;
  size_t at_ = 0;
};

}  // namespace

double TraceRecorder::now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

void TraceRecorder::record(TraceSlice slice) {
  if (wants(slice.step)) slices_.push_back(std::move(slice));
}

std::string TraceRecorder::serialize() const {
  std::string bytes;
  for (const TraceSlice& slice : slices_) {
    put(bytes, slice.track);
    put(bytes, slice.begin);
    put(bytes, slice.end);
    put(bytes, slice.step);
    put(bytes, slice.flow_out);
    put(bytes, slice.flow_in);
    put(bytes, static_cast<uint32_t>(slice.name.size()));
    bytes += slice.name;
  }
  return bytes;
}

std::vector<TraceSlice> TraceRecorder::deserialize(const std::string& bytes) {
  std::vector<TraceSlice> slices;
  for (Reader reader(bytes); !reader.done();) {
    TraceSlice slice;
    const auto track = reader.get<uint8_t>();
    if (track > static_cast<uint8_t>(TraceTrack::communication)) damaged();
    slice.track = static_cast<TraceTrack>(track);
    slice.begin = reader.get<double>();
    slice.end = reader.get<double>();
    slice.step = reader.get<int64_t>();
    slice.flow_out = reader.get<uint64_t>();
    slice.flow_in = reader.get<uint64_t>();
    slice.name = reader.text(reader.get<uint32_t>());
    slices.push_back(std::move(slice));
  }
  return slices;
}

}  // namespace interlock
