#pragma once
// What the NCCL transport calls of NCCL and of the CUDA run-time, for one rank and its GPU. The CUDA module gives the
// real ones (real_calls.cpp), tests a stand-in in host memory. NCCL's calls return its numbers; a CUDA call that fails
// throws Error(gave_up) with CUDA's words.

#include <cstddef>
#include <optional>
#include <string>

struct ncclComm;
struct CUstream_st;
struct CUevent_st;

namespace interlock {

// Of NCCL's results those that decide something.
inline constexpr int nccl_success = 0, nccl_in_progress = 7;

struct NcclId {
  char bytes[128] = {};
};
enum class NcclType { float32, float64, bytes };

class NcclCalls {
 public:
  using Communicator = ncclComm*;
  using Stream = CUstream_st*;
  using Event = CUevent_st*;
  virtual ~NcclCalls() = default;

  // ---- What is there
  virtual int library_version() = 0;  // as NCCL numbers them: 22809 is 2.28.9
  virtual int header_version() = 0;   // that the caller was compiled with
  virtual std::string gpu_uuid() = 0;
  virtual int multiprocessors() = 0;
  virtual void use_gpu() = 0;  // makes the rank's GPU the calling thread's

  // ---- Communicators, which never block (ncclConfig_t::blocking = 0): a call that answers "in progress" is through
  // when state() no longer does. `blocks`: thread blocks that a call may take at most; 0: as NCCL likes.
  virtual int make_id(NcclId& id) = 0;
  virtual int begin_communicator(Communicator& made, int size, const NcclId& id, int position, int blocks) = 0;
  virtual int state(Communicator communicator, int& result) = 0;
  virtual int finalize(Communicator communicator) = 0;
  virtual int destroy(Communicator communicator) = 0;
  virtual int abort(Communicator communicator) = 0;  // also while it is being made
  virtual std::string describe(int result) = 0;      // with the last error that NCCL has printed, if there is one

  // ---- Calls on a stream
  virtual int send(const void* data, size_t bytes, int peer, Communicator communicator, Stream stream) = 0;
  virtual int receive(void* data, size_t bytes, int peer, Communicator communicator, Stream stream) = 0;
  // In place. The sums of a reduce stand on `root` only.
  virtual int all_reduce(void* values, size_t count, NcclType type, Communicator communicator, Stream stream) = 0;
  virtual int reduce(void* values, size_t count, NcclType type, int root, Communicator communicator, Stream stream) = 0;
  virtual int broadcast(void* bytes, size_t count, int root, Communicator communicator, Stream stream) = 0;
  // In place, of size x count values: member i keeps the sums, or has the values, of the i-th `count`.
  virtual int reduce_scatter(void* values, size_t count, NcclType type, int position, Communicator communicator,
                             Stream stream) = 0;
  virtual int all_gather(void* bytes, size_t count, int position, Communicator communicator, Stream stream) = 0;
  virtual int begin_group() = 0;
  virtual int end_group() = 0;

  // ---- Streams and events
  virtual Stream make_stream() = 0;
  virtual void free_stream(Stream stream) = 0;
  // Of the calling thread; none: the host computes, and memory is ready when the host is. CUDA's own default stream is
  // a null pointer.
  virtual std::optional<Stream> compute_stream() = 0;
  virtual Event make_event() = 0;
  virtual void free_event(Event event) = 0;
  virtual void record(Event event, Stream stream) = 0;
  virtual void wait_for(Event event, Stream stream) = 0;  // orders later work of the stream after the event
  virtual bool passed(Event event) = 0;
  virtual void* allocate(size_t bytes) = 0;  // on the GPU
  virtual void release(void* memory) = 0;
};

// "2.28.9"
std::string nccl_version_text(int version);

}  // namespace interlock
