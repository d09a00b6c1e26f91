#pragma once
// Watches what a rank has under way over NCCL, on a thread of its own: what takes too long, or what NCCL reports, ends
// everything with one error that names ranks and messages. Then all communicators are aborted, so that kernels that
// spin for a lost rank end and the host gets on. A second thread calls neither CUDA nor NCCL: it watches the watch,
// since a call of the driver may wait for kernels that wait for a lost rank. Internal to this room.

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "parallel/transport/message.h"
#include "parallel/transport/nccl/calls.h"

namespace interlock {

// One call on a stream, between two events. What it works on is kept until it is done.
struct NcclOperation {
  std::string what;  // "a receive from rank 1: activation, ..."
  NcclCalls::Event begin = nullptr, end = nullptr;
  std::mutex mutex;     // of the three below
  bool passed = false;  // the watch has seen it; the rank has not yet
  std::vector<std::shared_ptr<void>> keeps;
  bool done = false;
  std::chrono::steady_clock::time_point began{};  // on the GPU, as far as the watch has seen; the watch's own
};

class NcclWatch {
 public:
  using Seconds = std::chrono::duration<double>;
  // Shared with the watch, which may look while its owner goes. Null inside: not begun, or ended; changes in calls
  // only.
  using Communicator = std::shared_ptr<NcclCalls::Communicator>;
  // `stuck` is called, once and on another thread, when CUDA or NCCL keeps the watch itself from going on for `limit`:
  // nothing can then be aborted, and the process has to end.
  NcclWatch(NcclCalls& calls, int rank, Seconds limit, std::function<void(const std::string&)> stuck);
  ~NcclWatch();  // no communicator and no stream may be in use any more
  NcclWatch(const NcclWatch&) = delete;

  // Performs an NCCL call, and waits while it is in progress. Any other end than success, and more than the limit, is a
  // failure; so is that of the watch meanwhile. Throws.
  void perform(const Communicator& communicator, const std::string& what, const std::function<int()>& call);

  // A stream's next call: begin is recorded, `call` performed, end is recorded. Both events come from a pool.
  std::shared_ptr<NcclOperation> put(const Communicator& communicator, NcclCalls::Stream stream, std::string what,
                                     std::vector<std::shared_ptr<void>> keeps, const std::function<int()>& call);
  bool done(NcclOperation& operation);           // never blocks; true after a failure
  void wait(NcclOperation& operation);           // blocks the host; throws the failure
  void order_compute(NcclOperation& operation);  // of the calling thread's compute stream

  void add(const Communicator& communicator, const std::string& name);  // to be watched, and aborted
  void close(const Communicator& communicator);  // finalizes and destroys it; aborts it after a failure
  void order_after_compute(NcclCalls::Stream stream);

  void check();                          // throws the failure
  void fail(const std::string& reason);  // the first one stays
  NcclCalls& calls() { return calls_; }

 private:
  using Clock = std::chrono::steady_clock;
  using Kept = std::vector<std::shared_ptr<void>>;
  struct Watched {
    Communicator communicator;
    std::string name;
  };

  void run();
  void look();
  void watch_the_watch();
  void release_done();  // what operations keep; never on the watch's own threads, as freeing may wait for the GPU
  bool failed();
  NcclCalls::Event take_event();
  Kept give_back(NcclOperation& operation);  // its mutex is held
  void abort_all();

  NcclCalls& calls_;
  const int rank_;
  const Seconds limit_;
  std::timed_mutex nccl_;  // one NCCL call at a time; abort goes on without it when it cannot be had
  std::mutex mutex_;       // of all below
  std::condition_variable changed_;
  std::string failure_;
  bool stop_ = false, aborted_ = false;
  std::vector<Watched> communicators_;
  std::list<std::shared_ptr<NcclOperation>> under_way_;
  std::vector<NcclCalls::Event> events_;  // free ones
  const std::function<void(const std::string&)> stuck_;
  std::atomic<Clock::rep> busy_since_{0};      // of the watch, with calls of CUDA and NCCL; 0: it is not
  std::atomic<Clock::rep> aborting_since_{0};  // of whichever thread aborts all; 0: none does
  std::thread thread_, monitor_;
};

}  // namespace interlock
