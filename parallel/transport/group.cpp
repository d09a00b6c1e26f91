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

// `step` counts the group's operations, so that members who disagree about which one they are in are told so.
MessageHeader Group::header(uint64_t bytes) {
  MessageHeader header;
  header.run = run_;
  header.step = operation_;
  header.lane = {MessageKind::collective, number_, 0};
  header.bytes = bytes;
  return header;
}

template <class T>
void Group::reduce(std::span<T> values) {
  ++operation_;
  if (size() == 1) return;
  const auto begin = [&](int member) { return values.size() * member / size(); };
  const auto share = [&](int member) { return values.subspan(begin(member), begin(member + 1) - begin(member)); };
  const std::span<T> mine = share(position_);

  // From every other member: its part of my share, then the sum of its own share.
  std::vector<std::unique_ptr<Handle>> parts, sums, sends;
  std::vector<Buffer> part_of(size()), sum_of(size());
  for (int member = 0; member < size(); ++member) {
    if (member == position_) continue;
    if (!mine.empty()) {
      part_of[member] = Buffer::allocate(mine.size_bytes());
      parts.push_back(transport_.receive(members_[member], header(mine.size_bytes()), part_of[member]));
    }
    if (const uint64_t bytes = share(member).size_bytes()) {
      sum_of[member] = Buffer::allocate(bytes);
      sums.push_back(transport_.receive(members_[member], header(bytes), sum_of[member]));
    }
  }
  for (int member = 0; member < size(); ++member) {
    const std::span<T> theirs = share(member);
    if (member == position_ || theirs.empty()) continue;
    sends.push_back(
        transport_.send(members_[member], header(theirs.size_bytes()), copy_of(theirs.data(), theirs.size_bytes())));
  }
  join_all(parts);
  if (!mine.empty()) {
    const Buffer sum = copy_of(position_ == 0 ? static_cast<void*>(mine.data()) : part_of[0].data, mine.size_bytes());
    T* total = reinterpret_cast<T*>(sum.data);
    for (int member = 1; member < size(); ++member) {
      const T* part = member == position_ ? mine.data() : reinterpret_cast<const T*>(part_of[member].data);
      for (size_t i = 0; i < mine.size(); ++i) total[i] += part[i];
    }
    for (int member = 0; member < size(); ++member) {
      if (member != position_) sends.push_back(transport_.send(members_[member], header(sum.bytes), sum));
    }
    std::memcpy(mine.data(), sum.data, sum.bytes);
  }
  join_all(sums);
  for (int member = 0; member < size(); ++member) {
    if (sum_of[member].bytes) std::memcpy(share(member).data(), sum_of[member].data, sum_of[member].bytes);
  }
  join_all(sends);
}

void Group::all_reduce(std::span<float> values) { reduce(values); }
void Group::all_reduce(std::span<double> values) { reduce(values); }

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
