#pragma once
// Activations and gradients from GPU to GPU over NCCL; everything else over the host's transport, which also carries
// what NCCL needs to start. NCCL has no tags and no headers: everything between two ranks keeps one order
// (ordered_pairs), which plan_check is asked to prove, and what the bytes are is agreed on before the first of them.

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "parallel/transport/nccl/calls.h"
#include "parallel/transport/transport.h"

namespace interlock {

struct NcclOptions {
  // (from, to), the same on all ranks: who sends to whom. Each pair has a communicator of its own, and a stream of its
  // own on either side.
  std::vector<std::pair<int, int>> pairs;
  // How long a call may take from the moment the GPU has come to it, and a communicator to be made.
  double limit_seconds = 300;
  // Sends every header over the host's transport as well and compares them: a message that is another than the one
  // expected is then reported by name. Costs a small message each and makes the host wait for the sender's.
  bool check_headers = false;
  // What ends the run when CUDA or NCCL does not answer any more, so that nothing can be aborted; empty: the reason is
  // said, and the host's transport aborts. On a thread of its own.
  std::function<void(const std::string&)> stuck{};
};

// Why NCCL cannot serve these ranks, in words that tell what to do: two ranks on one GPU where this NCCL refuses that,
// or a version that is known to hang. "": it can. The same answer on all ranks, which all call it. Error(config) for
// ranks whose NCCL is not of one version; nothing of NCCL but its version has been asked by then.
std::string nccl_obstacle(Transport& host, NcclCalls& calls);

// Every rank calls it, after nccl_obstacle gave "". Both arguments outlive the transport. Error(config) when the GPU
// has no room for the communicators at a time; Error(gave_up) that names ranks when one does not come within the limit.
std::unique_ptr<Transport> make_nccl(Transport& host, NcclCalls& calls, const NcclOptions& options);

}  // namespace interlock
