// The group, and its small collectives: through copies, done when the call returns. Every member posts all it can
// before it waits for anything.
#include "parallel/transport/group.h"

#include <algorithm>
#include <cassert>
#include <cstring>
#include <numeric>

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

Group Group::of_all(Transport& transport) {
  std::vector<int> members(static_cast<size_t>(transport.size()));
  std::iota(members.begin(), members.end(), 0);
  return {transport, std::move(members), 0, 0};
}

// `step` counts the group's operations, so that members who disagree about which one they are in are told so. `phase`
// is the lane: collectives.h says what needs one of its own.
MessageHeader Group::header(uint64_t bytes, int phase) const {
  MessageHeader header;
  header.run = run_;
  header.step = operation_;
  header.lane = {MessageKind::collective, number_, phase};
  header.bytes = bytes;
  return header;
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

std::string Group::broadcast(const std::string& bytes, int root) {
  uint64_t length = bytes.size();
  broadcast(std::as_writable_bytes(std::span(&length, 1)), root);
  std::string all = position_ == root ? bytes : std::string(length, '\0');
  broadcast(std::as_writable_bytes(std::span(all)), root);
  return all;
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

std::vector<std::string> Group::gather(const std::string& bytes, int to) {
  assert(to >= 0 && to < size());
  ++operation_;
  if (position_ != to) {
    transport_.send(members_[to], header(bytes.size()), copy_of(bytes.data(), bytes.size()))->wait();
    return {};
  }
  std::vector<std::unique_ptr<Handle>> receives;
  std::vector<MessageHeader> headers(size());
  std::vector<Buffer> buffers(size());
  for (int member = 0; member < size(); ++member)
    if (member != to)
      receives.push_back(transport_.receive_any_size(members_[member], header(0), &headers[member], &buffers[member]));
  wait_all(receives);
  std::vector<std::string> all(size());
  for (int member = 0; member < size(); ++member) {
    if (member == to)
      all[member] = bytes;
    else
      all[member].assign(reinterpret_cast<const char*>(buffers[member].data), headers[member].bytes);
  }
  return all;
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
