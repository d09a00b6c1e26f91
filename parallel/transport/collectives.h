#pragma once
// Collective operations on values where a transport keeps them: an interface, so that a transport may bring its own.
// Texts, doubles for the host and barriers are no business of it: they go over a Group's messages, always.

#include <cstddef>
#include <memory>
#include <span>
#include <utility>

namespace interlock {

// A collective operation that goes on in the background. Any number may be under way; members begin them in the same
// order. All-reduces are finished in the order in which they began, the others in any order.
class Collective {
 public:
  virtual ~Collective() = default;
  virtual bool advance() = 0;  // does what can be done without waiting; true when the operation is done
  virtual void finish() = 0;   // until it is done and the host may use the values; throws what went wrong
  // Orders later work of the compute stream after the operation and throws what is known to have gone wrong. Memory
  // that computes in no stream is ready when the host is.
  virtual void join() { finish(); }
};

// In place: data leaves from and arrives in the caller's memory, which nobody else touches until the operation is done.
// `keep_alive` owns it for what is under way when the caller fails; without one it must outlive the transport.
class Collectives {
 public:
  virtual ~Collectives() = default;
  virtual int position() const = 0;  // of this rank among the members
  virtual int size() const = 0;

  // values := sum over members, element by element, bit-equal on all members.
  virtual std::unique_ptr<Collective> begin_all_reduce(std::span<float> values,
                                                       std::shared_ptr<void> keep_alive = nullptr) = 0;
  virtual std::unique_ptr<Collective> begin_all_reduce(std::span<double> values,
                                                       std::shared_ptr<void> keep_alive = nullptr) = 0;
  void all_reduce(std::span<float> values, std::shared_ptr<void> keep_alive = nullptr) {
    begin_all_reduce(values, std::move(keep_alive))->finish();
  }
  void all_reduce(std::span<double> values, std::shared_ptr<void> keep_alive = nullptr) {
    begin_all_reduce(values, std::move(keep_alive))->finish();
  }

  struct Range {  // elements [begin, end)
    size_t begin = 0, end = 0;
    int owner = 0;  // position among the members
  };
  // The elements that this member owns := their sum over members. `shards` is the same list on all members: ranges that
  // do not overlap, any number for each member, none for some. The elements that other members own are unspecified
  // afterwards; those that nobody owns are left alone.
  virtual std::unique_ptr<Collective> begin_reduce_scatter(std::span<float> values, std::span<const Range> shards,
                                                           std::shared_ptr<void> keep_alive = nullptr) = 0;
  virtual std::unique_ptr<Collective> begin_reduce_scatter(std::span<double> values, std::span<const Range> shards,
                                                           std::shared_ptr<void> keep_alive = nullptr) = 0;

  struct Shard {
    std::span<std::byte> bytes;
    int owner = 0;  // position among the members
  };
  // Every member gets the bytes of every shard from the member that owns it. `shards` names the same sizes and owners
  // in the same order on all members.
  virtual std::unique_ptr<Collective> begin_all_gather(std::span<const Shard> shards,
                                                       std::shared_ptr<void> keep_alive = nullptr) = 0;

  // Every member gets the bytes of member `root`.
  std::unique_ptr<Collective> begin_broadcast(std::span<std::byte> bytes, int root,
                                              std::shared_ptr<void> keep_alive = nullptr) {
    const Shard shard{bytes, root};
    return begin_all_gather(std::span(&shard, 1), std::move(keep_alive));
  }
};

}  // namespace interlock
