// Every member sends what it owns to all others, all shards at the same time.
#include <cassert>

#include "parallel/transport/message_collectives.h"

namespace interlock {

// Shards that touch in memory are not sent as one: they may touch on this member only.
Group::AllGather::AllGather(Group& group, int phase, std::span<const Shard> shards, std::shared_ptr<void> keep_alive)
    : group_(group),
      header_(group.header(0, phase)),
      shards_(shards.begin(), shards.end()),
      keep_alive_(std::move(keep_alive)) {
  std::erase_if(shards_, [](const Shard& shard) { return shard.bytes.empty(); });
  for ([[maybe_unused]] const Shard& shard : shards_) assert(shard.owner >= 0 && shard.owner < group.size());
}

MessageHeader Group::AllGather::header_of(const Shard& shard) const {
  MessageHeader header = header_;
  header.bytes = shard.bytes.size();
  return header;
}

void Group::AllGather::send_own() {
  for (const Shard& shard : shards_) {
    if (shard.owner != group_.position_) continue;
    for (int member = 0; member < group_.size(); ++member)
      if (member != group_.position_)
        posted_.add(group_.transport_.send(group_.members_[member], header_of(shard), in_place(shard)));
  }
}

void Group::AllGather::receive_from(int member) {
  for (const Shard& shard : shards_)
    if (shard.owner == member)
      posted_.add(group_.transport_.receive(group_.members_[member], header_of(shard), in_place(shard)));
}

bool Group::AllGather::advance() {
  if (!done_ && posted_.done()) finish();
  return done_;
}

void Group::AllGather::finish() {
  posted_.wait();
  done_ = true;
}

std::unique_ptr<Collective> Group::begin_all_gather(std::span<const Shard> shards, std::shared_ptr<void> keep_alive) {
  ++operation_;
  auto gather = std::make_unique<AllGather>(*this, 0, shards, std::move(keep_alive));
  for (int member = 0; member < size(); ++member)
    if (member != position_) gather->receive_from(member);
  gather->send_own();
  return gather;
}

}  // namespace interlock
