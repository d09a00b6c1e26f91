#pragma once
// One communicator with its stream on this rank. Internal to this room.

#include <memory>
#include <string>
#include <vector>

#include "parallel/transport/nccl/watch.h"

namespace interlock {

class NcclLink {
 public:
  // All members make it, with the same id; returns when it is there. `name` is for messages.
  NcclLink(NcclWatch& watch, std::string name, const std::vector<int>& members, int position, const NcclId& id,
           int blocks);
  ~NcclLink();
  NcclLink(const NcclLink&) = delete;

  const std::string& name() const { return name_; }
  NcclCalls::Communicator communicator() const { return communicator_; }
  NcclCalls::Stream stream() const { return stream_; }
  // Puts a call on the stream, behind the compute so far.
  std::shared_ptr<NcclOperation> put(std::string what, std::vector<std::shared_ptr<void>> keeps,
                                     const std::function<int()>& call) {
    return watch_.put(&communicator_, stream_, std::move(what), std::move(keeps), call);
  }

 private:
  NcclWatch& watch_;
  const std::string name_;
  NcclCalls::Communicator communicator_ = nullptr;
  NcclCalls::Stream stream_ = nullptr;
};

// "ranks 0, 2 and 4"
std::string ranks_text(const std::vector<int>& ranks);

}  // namespace interlock
