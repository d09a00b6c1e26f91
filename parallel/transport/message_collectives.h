#pragma once
// A group's collectives in the background, as objects made of messages. Internal to this room.
//
// Every member posts all it can before it waits for anything, so that no order of arrival and no slow member can make
// two members wait for each other. A reduce-scatter and an all-gather post everything when they begin, all on the
// group's first lane, in the order in which they begin. The second half of an all-reduce can only be posted later; it
// has a lane of its own (`late_phase`) and keeps the order there itself.

#include <algorithm>
#include <memory>
#include <span>
#include <vector>

#include "parallel/transport/group.h"

namespace interlock {

inline constexpr int late_phase = 1;

// The messages with one other member. They need no order among themselves: they have a lane's.
class Messages {
 public:
  void add(std::unique_ptr<Handle> message) { handles_.push_back(std::move(message)); }
  bool done() const {
    return std::ranges::all_of(handles_, [](const auto& handle) { return handle->done(); });
  }
  void wait() {  // and lets go of them and what they hold
    for (const auto& handle : handles_) handle->wait();
    handles_.clear();
  }

 private:
  std::vector<std::unique_ptr<Handle>> handles_;
};

template <class T>
class Group::ReduceScatter final : public Collective {
 public:
  ReduceScatter(Group& group, std::span<T> values, std::span<const Range> shards, std::shared_ptr<void> keep_alive);
  bool advance() override;
  void finish() override;

  // For an all-reduce, which goes on from here.
  bool parts_came() const;  // true too once they are summed
  void sum();               // waits for the parts; then the own ranges hold the sums
  bool summed() const { return summed_; }
  Messages& sent_to(int member) { return peers_[member].sent; }  // what it owns, from here

 private:
  struct Peer {
    Buffer parts;  // what this member owns, from there, range after range
    Messages came, sent;
  };
  void add(std::span<T> mine, size_t offset) const;  // `offset`: of these elements in the parts
  const T* parts_of(int member) const { return reinterpret_cast<const T*>(peers_[member].parts.data); }

  const int position_;
  std::vector<std::span<T>> own_;
  std::vector<Peer> peers_;  // by member
  bool summed_ = false, done_ = false;
};

class Group::AllGather final : public Collective {
 public:
  // Posts nothing yet. `phase` is the lane.
  AllGather(Group& group, int phase, std::span<const Shard> shards, std::shared_ptr<void> keep_alive);
  void send_own();
  void receive_from(int member);
  bool advance() override;
  void finish() override;

 private:
  Buffer in_place(const Shard& shard) const { return {keep_alive_, shard.bytes.data(), shard.bytes.size()}; }
  MessageHeader header_of(const Shard& shard) const;

  Group& group_;
  MessageHeader header_;
  std::vector<Shard> shards_;
  std::shared_ptr<void> keep_alive_;
  Messages posted_;
  bool done_ = false;
};

template <class T>
class Group::AllReduce final : public Collective {
 public:
  AllReduce(Group& group, std::span<T> values, std::shared_ptr<void> keep_alive);
  bool advance() override;
  void finish() override;

 private:
  // In order, or the sums of a later all-reduce would come before those of an earlier one on their lane.
  bool may_send() const { return group_.sums_sent_ == number_; }
  bool may_ask(int member) const { return !asked_[member] && group_.sums_asked_[member] == number_; }
  void send_sums();
  void ask(int member);  // waits until the values that its sums replace have left

  Group& group_;
  const int64_t number_;
  ReduceScatter<T> scatter_;
  AllGather gather_;
  std::vector<bool> asked_;  // by member, for its sums; of this member's own: true
  bool done_ = false;
};

}  // namespace interlock
