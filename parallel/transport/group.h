#pragma once
// Collective operations over some ranks of a transport, written on its messages, so that one implementation serves
// loopback and MPI and a sum does not depend on a library's reduction order. Every member calls the same operations in
// the same order.

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "parallel/transport/transport.h"

namespace interlock {

// A collective operation that goes on in the background. Any number may be under way; members begin them in the same
// order. All-reduces are finished in the order in which they began, the others in any order.
class Collective {
 public:
  virtual ~Collective() = default;
  virtual bool advance() = 0;  // does what can be done without waiting; true when the operation is done
  virtual void finish() = 0;   // waits until it is; throws what went wrong
};

class Group {
 public:
  // `members` are transport ranks in group order, the same on all; `number` is unique among the groups of a run.
  Group(Transport& transport, std::vector<int> members, int number, uint64_t run);
  int position() const { return position_; }  // of this rank in the group
  int size() const { return static_cast<int>(members_.size()); }

  // ---- Collectives in place. Messages leave from and arrive in the caller's memory, which nobody else touches until
  // the operation is done. `keep_alive` owns it for messages under way when the caller fails; without one it must
  // outlive the transport's last message.

  // values := sum over members, added in group order ((v0 + v1) + v2 ...) element by element, bit-equal on all members.
  // A reduce-scatter along equal shares, then an all-gather of them: (n - 1) / n of the values' bytes is needed beside
  // them.
  void all_reduce(std::span<float> values, std::shared_ptr<void> keep_alive = nullptr);
  void all_reduce(std::span<double> values, std::shared_ptr<void> keep_alive = nullptr);
  std::unique_ptr<Collective> begin_all_reduce(std::span<float> values, std::shared_ptr<void> keep_alive = nullptr);
  std::unique_ptr<Collective> begin_all_reduce(std::span<double> values, std::shared_ptr<void> keep_alive = nullptr);

  struct Range {  // elements [begin, end)
    size_t begin = 0, end = 0;
    int owner = 0;  // position in the group
  };
  // The elements that this member owns := their sum over members, the same bits as all_reduce gives. `shards` is the
  // same list on all members: ranges that do not overlap, any number for each member, none for some. The elements that
  // other members own are unspecified afterwards (today: this member's values); those that nobody owns are left alone.
  // Sends what others own once; needs (n - 1) times what this member owns beside the values.
  std::unique_ptr<Collective> begin_reduce_scatter(std::span<float> values, std::span<const Range> shards,
                                                   std::shared_ptr<void> keep_alive = nullptr);
  std::unique_ptr<Collective> begin_reduce_scatter(std::span<double> values, std::span<const Range> shards,
                                                   std::shared_ptr<void> keep_alive = nullptr);

  struct Shard {
    std::span<std::byte> bytes;
    int owner = 0;  // position in the group
  };
  // Every member gets the bytes of every shard from the member that owns it. `shards` names the same sizes and owners
  // in the same order on all members. Sends what this member owns n - 1 times; needs no memory.
  void all_gather(std::span<const Shard> shards, std::shared_ptr<void> keep_alive = nullptr);
  std::unique_ptr<Collective> begin_all_gather(std::span<const Shard> shards,
                                               std::shared_ptr<void> keep_alive = nullptr);

  // ---- Small ones, through copies

  void broadcast(std::span<std::byte> bytes, int root);
  // The bytes of member `from`, on member `to`; "" on the others (and on `from`). All members call it.
  std::string collect(const std::string& bytes, int from, int to);
  std::vector<std::string> all_gather(const std::string& bytes);  // in group order; sizes may differ
  // size() x values.size(), in group order; sizes are equal on all members.
  std::vector<double> all_gather(std::span<const double> values);
  void barrier();

 private:
  template <class T>
  class ReduceScatter;
  class AllGather;
  template <class T>
  class AllReduce;
  MessageHeader header(uint64_t bytes, int phase = 0) const;

  Transport& transport_;
  std::vector<int> members_;
  int number_, position_ = -1;
  uint64_t run_;
  int64_t operation_ = 0;
  int64_t all_reduces_ = 0;
  int64_t sums_sent_ = 0;            // all-reduces whose sums this member has sent
  std::vector<int64_t> sums_asked_;  // by member: all-reduces whose sums from there have been asked for
};

}  // namespace interlock
