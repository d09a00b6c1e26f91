#pragma once
// Point-to-point messages between the ranks of a run. A call returns a handle at once; its wait() or join() ends it.
//
// Contract: messages of one lane arrive in sending order. A send counts as received when the other side has posted its
// receive; it may block no one before that (sends are synchronous in MPI's sense: `done` means the receive was posted
// and the buffer may be reused). The header that the receiver expects is checked against what came; a difference fails
// wait() and join() with an Error(gave_up) that prints both. Any failure of the transport (peer gone, abort elsewhere)
// makes every wait() and join() throw. All members may be called from the one compute thread of the rank; no other
// thread of the rank may call them.
//
// Who calls which: wait() where the host itself reads, writes or frees the memory (send buffers, texts, files, values
// that the host adds up); join() where later operations of the compute stream read what a receive brought. After join()
// the host may not look at the memory: on a device transport the data may still be under way.

#include <memory>
#include <string>
#include <vector>

#include "parallel/transport/collectives.h"
#include "parallel/transport/message.h"

namespace interlock {

class Handle {
 public:
  virtual ~Handle() = default;
  virtual bool done() = 0;  // never blocks
  // Blocks the host, without spinning, until the memory may be read (receive) or reused (send); throws what went wrong.
  // May be called again, also after join().
  virtual void wait() = 0;
  // Orders later work of the compute stream after the data and throws what is known to have gone wrong. Memory that
  // computes in no stream is ready when the host is.
  virtual void join() { wait(); }
};

struct TransportCounters {  // of this rank; headers and pieces are not counted
  uint64_t messages_sent = 0, bytes_sent = 0, messages_received = 0;  // activations and gradients: what a plan counts
  uint64_t other_messages_sent = 0, other_bytes_sent = 0;             // collectives, reports and weights
};

class Transport {
 public:
  virtual ~Transport() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;
  // `header.bytes` of `payload` go to rank `to`. The payload stays alive and unchanged until the handle is done.
  virtual std::unique_ptr<Handle> send(int to, const MessageHeader& header, Buffer payload) = 0;
  // Posts a receive of exactly the message `expected` describes into `into` (>= expected.bytes).
  virtual std::unique_ptr<Handle> receive(int from, const MessageHeader& expected, Buffer into) = 0;
  // Posts a receive of a message whose size is not known beforehand; after wait(), *header and *payload are filled.
  // Used for reports and weights. `expected` gives lane, run and step; shape, dtype and bytes are not compared.
  virtual std::unique_ptr<Handle> receive_any_size(int from, const MessageHeader& expected, MessageHeader* header,
                                                   Buffer* payload) = 0;
  // Whether a message between two ranks never overtakes another of a different lane: then activations and gradients
  // must be sent and received in one order, over all lanes from one rank to another. plan_check proves that on request.
  virtual bool ordered_pairs() const { return false; }
  // Whether activations and gradients are taken from and put into the memory of the rank's device, and the values of
  // make_collectives too. All else travels in host memory, always.
  virtual bool uses_device_memory() const { return false; }
  // Collectives on values where this transport keeps activations and gradients; null: it has none of its own, and a
  // Group does them with messages. Every member calls it, in the same order; `number` as in group.h.
  virtual std::unique_ptr<Collectives> make_collectives(const std::vector<int>& /*members*/, int /*number*/,
                                                        uint64_t /*run*/) {
    return nullptr;
  }
  // Throws what is known to have gone wrong, at once. For whoever has read numbers that a failure may have spoilt:
  // after join() nothing else would tell.
  virtual void check() {}
  // Ends the whole run on all ranks: waits elsewhere throw (loopback) or the processes end with `exit_code` (mpi).
  virtual void abort(int exit_code, const std::string& reason) = 0;
  virtual TransportCounters counters() const = 0;
  virtual std::string description() const = 0;  // library and version, thread level, for the manifest and doctor
};

}  // namespace interlock
