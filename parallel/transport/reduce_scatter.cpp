// Every member sends the others what they own of its values, and adds up what it owns itself.
#include <algorithm>
#include <array>
#include <cassert>

#include "parallel/transport/message_collectives.h"

namespace interlock {
namespace {

// Without empty ranges, and with one range where two of the same owner touch: a range is a message.
std::vector<Group::Range> merged(std::span<const Group::Range> shards) {
  std::vector<Group::Range> ranges;
  for (const Group::Range& range : shards) {
    if (range.begin == range.end) continue;
    if (!ranges.empty() && ranges.back().owner == range.owner && ranges.back().end == range.begin)
      ranges.back().end = range.end;
    else
      ranges.push_back(range);
  }
  return ranges;
}

[[maybe_unused]] bool are_apart(std::vector<Group::Range> ranges) {
  std::ranges::sort(ranges, {}, &Group::Range::begin);
  for (size_t i = 1; i < ranges.size(); ++i)
    if (ranges[i].begin < ranges[i - 1].end) return false;
  return true;
}

}  // namespace

template <class T>
Group::ReduceScatter<T>::ReduceScatter(Group& group, std::span<T> values, std::span<const Range> shards,
                                       std::shared_ptr<void> keep_alive)
    : position_(group.position_), peers_(group.size()) {
  const std::vector<Range> ranges = merged(shards);
  assert(are_apart(ranges));
  const auto elements_of = [&](const Range& range) {
    assert(range.begin <= range.end && range.end <= values.size() && range.owner >= 0 && range.owner < group.size());
    return values.subspan(range.begin, range.end - range.begin);
  };
  size_t own_bytes = 0;
  for (const Range& range : ranges) {
    const std::span<T> elements = elements_of(range);
    if (range.owner != position_) continue;
    own_.push_back(elements);
    own_bytes += elements.size_bytes();
  }
  for (int member = 0; member < group.size() && own_bytes > 0; ++member) {
    if (member == position_) continue;
    Peer& peer = peers_[member];
    peer.parts = Buffer::allocate(own_bytes);
    std::byte* next = peer.parts.data;
    for (const std::span<T> own : own_) {
      const Buffer into{peer.parts.owner, next, own.size_bytes()};
      peer.came.add(group.transport_.receive(group.members_[member], group.header(into.bytes), into));
      next += into.bytes;
    }
  }
  for (const Range& range : ranges) {
    if (range.owner == position_) continue;
    const std::span<T> theirs = elements_of(range);
    const Buffer from{keep_alive, reinterpret_cast<std::byte*>(theirs.data()), theirs.size_bytes()};
    sent_to(range.owner).add(group.transport_.send(group.members_[range.owner], group.header(from.bytes), from));
  }
}

template <class T>
bool Group::ReduceScatter<T>::parts_came() const {
  return std::ranges::all_of(peers_, [](const Peer& peer) { return peer.came.done(); });
}

template <class T>
bool Group::ReduceScatter<T>::advance() {
  if (done_) return true;
  if (!summed_ && parts_came()) sum();
  if (summed_ && std::ranges::all_of(peers_, [](const Peer& peer) { return peer.sent.done(); })) finish();
  return done_;
}

template <class T>
void Group::ReduceScatter<T>::finish() {
  if (done_) return;
  if (!summed_) sum();
  for (Peer& peer : peers_) peer.sent.wait();
  done_ = true;
}

template <class T>
void Group::ReduceScatter<T>::sum() {
  for (Peer& peer : peers_) peer.came.wait();
  size_t offset = 0;
  for (const std::span<T> mine : own_) {
    add(mine, offset);
    offset += mine.size();
  }
  for (Peer& peer : peers_) peer.parts = {};
  summed_ = true;
}

// Mine is one of the terms: what is before it is added up beside it, a block that fits the cache at a time.
template <class T>
void Group::ReduceScatter<T>::add(std::span<T> mine, size_t offset) const {
  std::array<T, 2048> total;
  for (size_t begin = 0; begin < mine.size(); begin += total.size()) {
    const size_t count = std::min(total.size(), mine.size() - begin);
    for (int member = 0; member < static_cast<int>(peers_.size()); ++member) {
      const T* part = begin + (member == position_ ? mine.data() : parts_of(member) + offset);
      for (size_t i = 0; i < count; ++i) total[i] = member == 0 ? part[i] : total[i] + part[i];
    }
    std::copy_n(total.begin(), count, mine.begin() + begin);
  }
}

template class Group::ReduceScatter<float>;
template class Group::ReduceScatter<double>;

std::unique_ptr<Collective> Group::begin_reduce_scatter(std::span<float> values, std::span<const Range> shards,
                                                        std::shared_ptr<void> keep_alive) {
  ++operation_;
  return std::make_unique<ReduceScatter<float>>(*this, values, shards, std::move(keep_alive));
}
std::unique_ptr<Collective> Group::begin_reduce_scatter(std::span<double> values, std::span<const Range> shards,
                                                        std::shared_ptr<void> keep_alive) {
  ++operation_;
  return std::make_unique<ReduceScatter<double>>(*this, values, shards, std::move(keep_alive));
}

}  // namespace interlock
