#pragma once
// Collective operations over some ranks of a transport, written on its messages, so that one implementation serves
// loopback and MPI and a sum does not depend on a library's reduction order. Every member calls the same operations in
// the same order.

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "parallel/transport/collectives.h"
#include "parallel/transport/transport.h"

namespace interlock {

class Group final : public Collectives {
 public:
  // `members` are transport ranks in group order, the same on all; groups that share two of them differ in `number`.
  Group(Transport& transport, std::vector<int> members, int number, uint64_t run);
  // All ranks, for what they tell each other before their run has a number.
  static Group of_all(Transport& transport);
  int position() const override { return position_; }
  int size() const override { return static_cast<int>(members_.size()); }

  // ---- Collectives in place

  // Added in group order ((v0 + v1) + v2 ...). A reduce-scatter along equal shares, then an all-gather of them:
  // (n - 1) / n of the values' bytes is needed beside them.
  std::unique_ptr<Collective> begin_all_reduce(std::span<float> values,
                                               std::shared_ptr<void> keep_alive = nullptr) override;
  std::unique_ptr<Collective> begin_all_reduce(std::span<double> values,
                                               std::shared_ptr<void> keep_alive = nullptr) override;
  // The same bits as all_reduce gives; what other members own keeps this member's values. Sends what others own once;
  // needs (n - 1) times what this member owns beside the values.
  std::unique_ptr<Collective> begin_reduce_scatter(std::span<float> values, std::span<const Range> shards,
                                                   std::shared_ptr<void> keep_alive = nullptr) override;
  std::unique_ptr<Collective> begin_reduce_scatter(std::span<double> values, std::span<const Range> shards,
                                                   std::shared_ptr<void> keep_alive = nullptr) override;
  // Sends what this member owns n - 1 times; needs no memory.
  std::unique_ptr<Collective> begin_all_gather(std::span<const Shard> shards,
                                               std::shared_ptr<void> keep_alive = nullptr) override;

  // ---- Small ones, through copies

  void broadcast(std::span<std::byte> bytes, int root);
  std::string broadcast(const std::string& bytes, int root);  // the root's, of any size
  // The bytes of member `from`, on member `to`; "" on the others (and on `from`). All members call it.
  std::string collect(const std::string& bytes, int from, int to);
  // The bytes of all in group order on member `to`, empty on the others; sizes may differ.
  std::vector<std::string> gather(const std::string& bytes, int to);
  // The same on all: messages and memory grow with the square of the group.
  std::vector<std::string> all_gather(const std::string& bytes);
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
