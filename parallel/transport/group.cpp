// Collectives on the messages of a transport. Every member posts all it can before it waits for anything, so that no
// order of arrival and no slow member can make two members wait for each other.
#include "parallel/transport/group.h"

#include <algorithm>
#include <cassert>
#include <cstring>

namespace interlock {
namespace {

Buffer copy_of(const void* data, uint64_t bytes) {
  Buffer buffer = Buffer::allocate(bytes);
  if (bytes) std::memcpy(buffer.data, data, bytes);
  return buffer;
}

void join_all(std::vector<std::unique_ptr<Handle>>& handles) {
  for (auto& handle : handles) handle->join();
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
// sum to all. Everything that can be posted is posted at the beginning.
template <class T>
class Group::Sum final : public Reduction {
 public:
  Sum(Group& group, std::span<T> values)
      : group_(group), values_(values), part_of_(group.size()), sum_of_(group.size()) {
    ++group.operation_;
    if (group.size() == 1) {
      done_ = true;
      return;
    }
    number_ = group.reductions_++;
    sums_header_ = group.header(0, 1);
    const std::span<T> mine = share(group.position_);
    for (int member = 0; member < group.size(); ++member) {
      if (member == group.position_) continue;
      const int rank = group.members_[member];
      if (!mine.empty()) {
        part_of_[member] = Buffer::allocate(mine.size_bytes());
        parts_.push_back(group.transport_.receive(rank, group.header(mine.size_bytes()), part_of_[member]));
      }
      if (const uint64_t bytes = share(member).size_bytes()) {
        sum_of_[member] = Buffer::allocate(bytes);
        sums_.push_back(group.transport_.receive(rank, group.header(bytes, 1), sum_of_[member]));
      }
    }
    for (int member = 0; member < group.size(); ++member) {
      const std::span<T> theirs = share(member);
      if (member == group.position_ || theirs.empty()) continue;
      sends_.push_back(group.transport_.send(group.members_[member], group.header(theirs.size_bytes()),
                                             copy_of(theirs.data(), theirs.size_bytes())));
    }
  }

  bool advance() override {
    if (done_) return true;
    if (!added_) {
      // In order, or the sums of a later reduction would come before those of an earlier one on their lane.
      if (group_.sums_sent_ != number_ || !all_done(parts_)) return false;
      add();
    }
    if (!all_done(sums_) || !all_done(sends_)) return false;
    take();
    return true;
  }

  void finish() override {
    if (done_) return;
    if (!added_) {
      assert(group_.sums_sent_ == number_ && "reductions are finished in the order in which they began");
      add();
    }
    take();
  }

 private:
  std::span<T> share(int member) const {
    const auto begin = [&](int of) { return values_.size() * of / group_.size(); };
    return values_.subspan(begin(member), begin(member + 1) - begin(member));
  }
  static bool all_done(std::vector<std::unique_ptr<Handle>>& handles) {
    return std::all_of(handles.begin(), handles.end(), [](const auto& handle) { return handle->done(); });
  }

  void add() {
    join_all(parts_);
    const std::span<T> mine = share(group_.position_);
    if (!mine.empty()) {
      const bool first = group_.position_ == 0;
      const Buffer sum = copy_of(first ? static_cast<void*>(mine.data()) : part_of_[0].data, mine.size_bytes());
      T* total = reinterpret_cast<T*>(sum.data);
      for (int member = 1; member < group_.size(); ++member) {
        const T* part = member == group_.position_ ? mine.data() : reinterpret_cast<const T*>(part_of_[member].data);
        for (size_t i = 0; i < mine.size(); ++i) total[i] += part[i];
      }
      sums_header_.bytes = sum.bytes;
      for (int member = 0; member < group_.size(); ++member) {
        if (member != group_.position_)
          sends_.push_back(group_.transport_.send(group_.members_[member], sums_header_, sum));
      }
      std::memcpy(mine.data(), sum.data, sum.bytes);
    }
    part_of_.clear();
    ++group_.sums_sent_;
    added_ = true;
  }

  void take() {
    join_all(sums_);
    for (int member = 0; member < group_.size(); ++member) {
      if (sum_of_[member].bytes) std::memcpy(share(member).data(), sum_of_[member].data, sum_of_[member].bytes);
    }
    join_all(sends_);
    sum_of_.clear();
    done_ = true;
  }

  Group& group_;
  std::span<T> values_;
  int64_t number_ = 0;
  MessageHeader sums_header_;
  std::vector<Buffer> part_of_, sum_of_;  // from every other member: its part of my share, the sum of its own
  std::vector<std::unique_ptr<Handle>> parts_, sums_, sends_;
  bool added_ = false, done_ = false;
};

std::unique_ptr<Reduction> Group::begin_all_reduce(std::span<float> values) {
  return std::make_unique<Sum<float>>(*this, values);
}
std::unique_ptr<Reduction> Group::begin_all_reduce(std::span<double> values) {
  return std::make_unique<Sum<double>>(*this, values);
}
void Group::all_reduce(std::span<float> values) { Sum<float>(*this, values).finish(); }
void Group::all_reduce(std::span<double> values) { Sum<double>(*this, values).finish(); }

void Group::broadcast(std::span<std::byte> bytes, int root) {
  assert(root >= 0 && root < size());
  ++operation_;
  if (size() == 1) return;
  std::vector<std::unique_ptr<Handle>> handles;
  if (position_ != root) {
    const Buffer buffer = Buffer::allocate(bytes.size());
    transport_.receive(members_[root], header(bytes.size()), buffer)->join();
    if (!bytes.empty()) std::memcpy(bytes.data(), buffer.data, bytes.size());
    return;
  }
  const Buffer buffer = copy_of(bytes.data(), bytes.size());
  for (int member = 0; member < size(); ++member) {
    if (member != root) handles.push_back(transport_.send(members_[member], header(buffer.bytes), buffer));
  }
  join_all(handles);
}

std::string Group::collect(const std::string& bytes, int from, int to) {
  ++operation_;
  if (from == to) return position_ == to ? bytes : "";
  if (position_ == from) {
    transport_.send(members_[to], header(bytes.size()), copy_of(bytes.data(), bytes.size()))->join();
  } else if (position_ == to) {
    MessageHeader found;
    Buffer payload;
    transport_.receive_any_size(members_[from], header(0), &found, &payload)->join();
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
  join_all(receives);
  join_all(sends);
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
  join_all(receives);
  join_all(sends);
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
    receive->join();
    send->join();
  }
}

}  // namespace interlock
