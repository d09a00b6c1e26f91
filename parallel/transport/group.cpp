// Collectives on the messages of a transport. Every member posts all it can before it waits for anything, so that no
// order of arrival and no slow member can make two members wait for each other.
#include "parallel/transport/group.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <cstring>

namespace interlock {
namespace {

Buffer copy_of(const void* data, uint64_t bytes) {
  Buffer buffer = Buffer::allocate(bytes);
  if (bytes) std::memcpy(buffer.data, data, bytes);
  return buffer;
}

void wait_all(std::vector<std::unique_ptr<Handle>>& handles) {
  for (auto& handle : handles) handle->wait();
}

}  // namespace

Group::Group(Transport& transport, std::vector<int> members, int number, uint64_t run)
    : transport_(transport), members_(std::move(members)), number_(number), run_(run) {
  const auto own = std::find(members_.begin(), members_.end(), transport_.rank());
  assert(own != members_.end() && "a rank may only make groups that it belongs to");
  position_ = static_cast<int>(own - members_.begin());
}

// `step` counts the group's operations, so that members who disagree about which one they are in are told so. The two
// phases of a reduction have lanes of their own: parts of a later one may be sent before the sums of an earlier one.
MessageHeader Group::header(uint64_t bytes, int phase) const {
  MessageHeader header;
  header.run = run_;
  header.step = operation_;
  header.lane = {MessageKind::collective, number_, phase};
  header.bytes = bytes;
  return header;
}

// First phase: every member sends the others their shares of its values. Second: it adds up its own share and sends the
// sum to all. Both travel from and into the values themselves: a share's sum is asked for once the values that it
// replaces have left. Only the parts of the own share need memory.
template <class T>
class Group::Sum final : public Reduction {
 public:
  Sum(Group& group, std::span<T> values, std::shared_ptr<void> owner)
      : group_(group), values_(values), owner_(std::move(owner)) {
    ++group.operation_;
    if (group.size() == 1) {
      done_ = true;
      return;
    }
    number_ = group.reductions_++;
    sums_header_ = group.header(0, 1);
    group.sums_asked_.resize(group.members_.size());
    for (int member = 0; member < group.size(); ++member)
      if (member != group.position_) others_.push_back({.member = member});
    const uint64_t bytes = share(group.position_).size_bytes();
    for (Other& other : others_) {
      if (bytes == 0) break;
      other.part = Buffer::allocate(bytes);
      other.part_came = group.transport_.receive(rank_of(other), group.header(bytes), other.part);
    }
    for (Other& other : others_) {
      const std::span<T> theirs = share(other.member);
      if (!theirs.empty())
        other.part_sent = group.transport_.send(rank_of(other), group.header(theirs.size_bytes()), in_place(theirs));
    }
  }

  bool advance() override {
    if (done_) return true;
    if (!added_ && may_add() && std::ranges::all_of(others_, [](Other& other) { return is_done(other.part_came); }))
      add();
    for (Other& other : others_)
      if (may_ask(other) && is_done(other.part_sent)) ask(other);
    const auto settled = [](Other& other) { return other.asked && is_done(other.sum_came) && is_done(other.sum_sent); };
    if (added_ && std::ranges::all_of(others_, settled)) finish();
    return done_;
  }

  void finish() override {
    if (done_) return;
    assert((added_ || may_add()) && "reductions are finished in the order in which they began");
    if (!added_) add();
    for (Other& other : others_)
      if (!other.asked) ask(other);
    for (Other& other : others_) {
      wait(other.sum_came);
      wait(other.sum_sent);
    }
    done_ = true;
  }

 private:
  // Handles are null where a share is empty.
  struct Other {
    int member = 0;
    Buffer part = {};  // of my share, from there
    std::unique_ptr<Handle> part_came = {}, part_sent = {}, sum_came = {}, sum_sent = {};
    bool asked = false;  // for the sum of its share
  };

  static bool is_done(const std::unique_ptr<Handle>& handle) { return !handle || handle->done(); }
  static void wait(const std::unique_ptr<Handle>& handle) {
    if (handle) handle->wait();
  }
  int rank_of(const Other& other) const { return group_.members_[other.member]; }
  std::span<T> share(int member) const {
    const auto begin = [&](int of) { return values_.size() * of / group_.size(); };
    return values_.subspan(begin(member), begin(member + 1) - begin(member));
  }
  Buffer in_place(std::span<T> values) const {
    return {owner_, reinterpret_cast<std::byte*>(values.data()), values.size_bytes()};
  }

  // In order, or the sums of a later reduction would come before those of an earlier one on their lane.
  bool may_add() const { return group_.sums_sent_ == number_; }
  bool may_ask(const Other& other) const { return !other.asked && group_.sums_asked_[other.member] == number_; }

  // Waits until the values that the sum replaces have left.
  void ask(Other& other) {
    wait(other.part_sent);
    const std::span<T> theirs = share(other.member);
    if (!theirs.empty()) {
      MessageHeader header = sums_header_;
      header.bytes = theirs.size_bytes();
      other.sum_came = group_.transport_.receive(rank_of(other), header, in_place(theirs));
    }
    ++group_.sums_asked_[other.member];
    other.asked = true;
  }

  void add() {
    for (Other& other : others_) wait(other.part_came);
    const std::span<T> mine = share(group_.position_);
    add_parts(mine);
    sums_header_.bytes = mine.size_bytes();
    for (Other& other : others_) {
      other.part_came.reset();  // it holds the part too
      other.part = {};
      if (!mine.empty()) other.sum_sent = group_.transport_.send(rank_of(other), sums_header_, in_place(mine));
    }
    ++group_.sums_sent_;
    added_ = true;
  }

  // Mine is one of the terms: what is before it is added up beside it, a block that fits the cache at a time.
  void add_parts(std::span<T> mine) const {
    std::array<T, 2048> total;
    for (size_t begin = 0; begin < mine.size(); begin += total.size()) {
      const size_t count = std::min(total.size(), mine.size() - begin);
      for (int member = 0; member < group_.size(); ++member) {
        const T* part = begin + (member == group_.position_ ? mine.data() : part_of(member));
        for (size_t i = 0; i < count; ++i) total[i] = member == 0 ? part[i] : total[i] + part[i];
      }
      std::copy_n(total.begin(), count, mine.begin() + begin);
    }
  }
  const T* part_of(int member) const {
    const Other& other = others_[member < group_.position_ ? member : member - 1];
    return reinterpret_cast<const T*>(other.part.data);
  }

  Group& group_;
  std::span<T> values_;
  std::shared_ptr<void> owner_;
  int64_t number_ = 0;
  MessageHeader sums_header_;
  std::vector<Other> others_;  // in group order
  bool added_ = false, done_ = false;
};

std::unique_ptr<Reduction> Group::begin_all_reduce(std::span<float> values, std::shared_ptr<void> owner) {
  return std::make_unique<Sum<float>>(*this, values, std::move(owner));
}
std::unique_ptr<Reduction> Group::begin_all_reduce(std::span<double> values, std::shared_ptr<void> owner) {
  return std::make_unique<Sum<double>>(*this, values, std::move(owner));
}
void Group::all_reduce(std::span<float> values, std::shared_ptr<void> owner) {
  Sum<float>(*this, values, std::move(owner)).finish();
}
void Group::all_reduce(std::span<double> values, std::shared_ptr<void> owner) {
  Sum<double>(*this, values, std::move(owner)).finish();
}

void Group::broadcast(std::span<std::byte> bytes, int root) {
  assert(root >= 0 && root < size());
  ++operation_;
  if (size() == 1) return;
  std::vector<std::unique_ptr<Handle>> handles;
  if (position_ != root) {
    const Buffer buffer = Buffer::allocate(bytes.size());
    transport_.receive(members_[root], header(bytes.size()), buffer)->wait();
    if (!bytes.empty()) std::memcpy(bytes.data(), buffer.data, bytes.size());
    return;
  }
  const Buffer buffer = copy_of(bytes.data(), bytes.size());
  for (int member = 0; member < size(); ++member) {
    if (member != root) handles.push_back(transport_.send(members_[member], header(buffer.bytes), buffer));
  }
  wait_all(handles);
}

void Group::all_gather(std::span<const Shard> shards, std::shared_ptr<void> keep_alive) {
  ++operation_;
  std::vector<std::unique_ptr<Handle>> handles;
  for (const auto& [bytes, owner] : shards) {
    assert(owner >= 0 && owner < size());
    const Buffer buffer{keep_alive, bytes.data(), bytes.size()};
    if (owner != position_)
      handles.push_back(transport_.receive(members_[owner], header(bytes.size()), buffer));
    else
      for (int member = 0; member < size(); ++member)
        if (member != position_) handles.push_back(transport_.send(members_[member], header(bytes.size()), buffer));
  }
  wait_all(handles);
}

std::string Group::collect(const std::string& bytes, int from, int to) {
  ++operation_;
  if (from == to) return position_ == to ? bytes : "";
  if (position_ == from) {
    transport_.send(members_[to], header(bytes.size()), copy_of(bytes.data(), bytes.size()))->wait();
  } else if (position_ == to) {
    MessageHeader found;
    Buffer payload;
    transport_.receive_any_size(members_[from], header(0), &found, &payload)->wait();
    return {reinterpret_cast<const char*>(payload.data), found.bytes};
  }
  return "";
}

std::vector<std::string> Group::all_gather(const std::string& bytes) {
  ++operation_;
  std::vector<std::string> all(size());
  std::vector<std::unique_ptr<Handle>> receives, sends;
  std::vector<MessageHeader> headers(size());
  std::vector<Buffer> buffers(size());
  const Buffer own = size() == 1 ? Buffer{} : copy_of(bytes.data(), bytes.size());
  for (int member = 0; member < size(); ++member) {
    if (member == position_) continue;
    receives.push_back(transport_.receive_any_size(members_[member], header(0), &headers[member], &buffers[member]));
  }
  for (int member = 0; member < size(); ++member) {
    if (member != position_) sends.push_back(transport_.send(members_[member], header(own.bytes), own));
  }
  wait_all(receives);
  wait_all(sends);
  for (int member = 0; member < size(); ++member) {
    if (member == position_)
      all[member] = bytes;
    else
      all[member].assign(reinterpret_cast<const char*>(buffers[member].data), headers[member].bytes);
  }
  return all;
}

std::vector<double> Group::all_gather(std::span<const double> values) {
  ++operation_;
  std::vector<double> all(values.size() * size());
  std::vector<std::unique_ptr<Handle>> receives, sends;
  std::vector<Buffer> buffers(size());
  buffers[position_] = copy_of(values.data(), values.size_bytes());
  for (int member = 0; member < size(); ++member) {
    if (member == position_) continue;
    buffers[member] = Buffer::allocate(values.size_bytes());
    receives.push_back(transport_.receive(members_[member], header(values.size_bytes()), buffers[member]));
  }
  for (int member = 0; member < size(); ++member) {
    if (member == position_) continue;
    sends.push_back(transport_.send(members_[member], header(values.size_bytes()), buffers[position_]));
  }
  wait_all(receives);
  wait_all(sends);
  for (int member = 0; member < size() && !values.empty(); ++member) {
    std::memcpy(all.data() + member * values.size(), buffers[member].data, values.size_bytes());
  }
  return all;
}

// Dissemination: after round r everybody has heard, directly or not, from 2^(r+1) - 1 members before it in the ring.
void Group::barrier() {
  ++operation_;
  for (int distance = 1; distance < size(); distance *= 2) {
    const int to = members_[(position_ + distance) % size()];
    const int from = members_[(position_ - distance + size()) % size()];
    const auto receive = transport_.receive(from, header(0), Buffer::allocate(0));
    const auto send = transport_.send(to, header(0), Buffer::allocate(0));
    receive->wait();
    send->wait();
  }
}

}  // namespace interlock
