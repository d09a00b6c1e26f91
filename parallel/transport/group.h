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

// A sum over members that goes on in the background. Members begin their reductions in the same order.
class Reduction {
 public:
  virtual ~Reduction() = default;
  virtual bool advance() = 0;  // does what can be done without waiting; true when the values are summed
  virtual void finish() = 0;   // waits until they are
};

class Group {
 public:
  // `members` are transport ranks in group order, the same on all; `number` is unique among the groups of a run.
  Group(Transport& transport, std::vector<int> members, int number, uint64_t run);
  int position() const { return position_; }  // of this rank in the group
  int size() const { return static_cast<int>(members_.size()); }

  // values := sum over members, added in group order ((v0 + v1) + v2 ...) element by element, bit-equal on all members.
  // Each member sums its share of the elements and sends it to the others. Messages leave from and arrive in `values`
  // themselves, so that (n - 1) / n of their bytes is all that is needed beside them; `keep_alive` owns them for
  // messages under way when the caller fails. Without one they must outlive the transport's last message.
  void all_reduce(std::span<float> values, std::shared_ptr<void> keep_alive = nullptr);
  void all_reduce(std::span<double> values, std::shared_ptr<void> keep_alive = nullptr);
  // The same sum, bit for bit, while the caller goes on; nobody else touches `values` until it is done. Reductions are
  // finished in the order in which they began.
  std::unique_ptr<Reduction> begin_all_reduce(std::span<float> values, std::shared_ptr<void> keep_alive = nullptr);
  std::unique_ptr<Reduction> begin_all_reduce(std::span<double> values, std::shared_ptr<void> keep_alive = nullptr);
  void broadcast(std::span<std::byte> bytes, int root);
  struct Shard {
    std::span<std::byte> bytes;
    int owner = 0;  // position in the group
  };
  // Every member gets the bytes of every shard from the member that owns it, in place. All shards are under way at the
  // same time. `keep_alive` as above.
  void all_gather(std::span<const Shard> shards, std::shared_ptr<void> keep_alive = nullptr);
  // The bytes of member `from`, on member `to`; "" on the others (and on `from`). All members call it.
  std::string collect(const std::string& bytes, int from, int to);
  std::vector<std::string> all_gather(const std::string& bytes);  // in group order; sizes may differ
  // size() x values.size(), in group order; sizes are equal on all members.
  std::vector<double> all_gather(std::span<const double> values);
  void barrier();

 private:
  template <class T>
  class Sum;
  MessageHeader header(uint64_t bytes, int phase = 0) const;

  Transport& transport_;
  std::vector<int> members_;
  int number_, position_ = -1;
  uint64_t run_;
  int64_t operation_ = 0;
  int64_t reductions_ = 0;
  int64_t sums_sent_ = 0;            // reductions whose sums this member has sent
  std::vector<int64_t> sums_asked_;  // by member: reductions whose sums from there have been asked for
};

}  // namespace interlock
