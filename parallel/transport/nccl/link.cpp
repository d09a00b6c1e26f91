#include "parallel/transport/nccl/link.h"

#include "runtime/core/error.h"

namespace interlock {

std::string ranks_text(const std::vector<int>& ranks) {
  std::string text = ranks.size() == 1 ? "rank " : "ranks ";
  for (size_t i = 0; i < ranks.size(); ++i)
    text += message(i == 0 ? "" : i + 1 == ranks.size() ? " and " : ", ", ranks[i]);
  return text;
}

NcclLink::NcclLink(NcclWatch& watch, std::string name, const std::vector<int>& members, int position, const NcclId& id,
                   int blocks)
    : watch_(watch), name_(std::move(name)) {
  NcclCalls& calls = watch_.calls();
  watch_.add(&communicator_, name_);
  try {
    watch_.perform(&communicator_, message("the communicator of ", name_), [&] {
      return calls.begin_communicator(communicator_, static_cast<int>(members.size()), id, position, blocks);
    });
    stream_ = calls.make_stream();
  } catch (...) {
    watch_.close(&communicator_);
    throw;
  }
}

NcclLink::~NcclLink() {
  watch_.close(&communicator_);
  watch_.calls().free_stream(stream_);
}

}  // namespace interlock
