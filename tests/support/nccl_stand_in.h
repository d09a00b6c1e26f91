#pragma once
// NCCL and the CUDA run-time as far as the NCCL transport calls them, for ranks that are threads, in host memory. It
// behaves as NCCL's documentation says of communicators that do not block: calls answer "in progress" and reach their
// stream later; the first call between two ranks, and the first of a group, goes on only when every side has made it; a
// call on a stream begins when it is the first there and ends when its other sides' calls are the first on theirs;
// calls that do not fit each other never end; an abort ends calls without data, and waits for those of other
// communicators on the GPU. So a wrong order hangs, as it would there. One thread performs all streams.

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "parallel/transport/nccl/calls.h"

namespace interlock {

struct Task;

class NcclStandIn {
 public:
  // `computes`: ranks compute on a stream; else on the host, and memory is ready when the host is.
  explicit NcclStandIn(int gpus, bool computes = true);
  ~NcclStandIn();
  NcclStandIn(const NcclStandIn&) = delete;

  NcclCalls& gpu(int rank);

  // ---- What a test arranges, before ranks use it
  struct Facts {
    int library = 22809, header = 22809, multiprocessors = 132;
    std::string uuid;
  };
  Facts& facts(int rank);

  // ---- What happens to a rank
  void lose(int rank);                     // its streams stop, and so does what others wait for from there
  void break_connections(int rank);        // others' communicators with it report ncclRemoteError
  void refuse_calls(int rank);             // its next call on a communicator fails with ncclInternalError
  void freeze(int rank, bool frozen);      // questions about its events are not answered until it ends
  void hold_compute(int rank, bool hold);  // its compute stream goes no further

  // Work for the compute stream of a rank, after all that was put there before.
  void compute(int rank, std::function<void()> work);

  // Calls that NCCL does not allow: on a communicator that was ended or is in progress. 0 in a right program.
  int misuses();
  int communicators();  // that were made and neither destroyed nor aborted

 private:
  class Gpu;
  struct State;   // of a GPU
  struct Shared;  // what the members of a communicator share
  void put(Task task, NcclCalls::Stream stream);
  void run();
  bool go_on();
  bool start_pending();
  bool perform_heads();
  bool perform(Task& task);
  bool perform_part(Task& call);

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::unique_ptr<State>> gpus_;
  std::vector<std::unique_ptr<NcclCalls>> calls_;
  std::map<std::string, std::shared_ptr<Shared>> shared_;  // by id
  std::vector<std::unique_ptr<ncclComm>> all_;
  const bool computes_;
  int ids_ = 0, misuses_ = 0;
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace interlock
