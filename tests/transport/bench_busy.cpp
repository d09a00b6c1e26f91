// Messages to a rank that computes: how fast a large one moves, and how soon a small one is noticed.
#include <cstring>
#include <iostream>
#include <thread>

#include "parallel/transport/group.h"
#include "tests/transport/bench.h"

namespace interlock::bench {
namespace {

struct Case {
  uint64_t bytes = 0;
  int rounds = 0;
  double quiet = 0;  // seconds for which nothing happens before the message
  bool sender_computes = false, receiver_computes = false;
};

MessageHeader header(const Case& what, int round) {
  MessageHeader header;
  header.step = round;
  header.bytes = what.bytes;
  return header;
}

void pass_time(double seconds, bool computes) {
  const double end = now() + seconds;
  double value = 1;
  if (!computes) std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
  while (now() < end) value = compute_a_little(value);
}

// A rank that computes looks at the handle between two pieces of its work.
void end_of(Handle& handle, bool computes) {
  double value = 1;
  while (computes && !handle.done()) value = compute_a_little(value);
  handle.wait();
}

// From the call of send on rank 0 to the moment at which rank 1 has the message. The payload tells when it left.
std::vector<double> one_way(Transport& transport, Group& both, const Case& what) {
  const Buffer payload = Buffer::allocate(what.bytes);
  std::memset(payload.data, 1, what.bytes);
  std::vector<double> times;
  for (int round = -1; round < what.rounds; ++round) {
    both.barrier();
    if (transport.rank() == 0) {
      pass_time(what.quiet, what.sender_computes);
      const double start = now();
      std::memcpy(payload.data, &start, sizeof start);
      end_of(*transport.send(1, header(what, round), payload), what.sender_computes);
    } else {
      const auto receive = transport.receive(0, header(what, round), payload);
      end_of(*receive, what.receiver_computes);
      double start = 0;
      std::memcpy(&start, payload.data, sizeof start);
      if (round >= 0) times.push_back(now() - start);
    }
  }
  return times;
}

void measure(Transport& transport, Group& both, const Case& what) {
  const std::vector<double> times = one_way(transport, both, what);
  if (transport.rank() != 1) return;
  const double middle = median(times), longest = *std::max_element(times.begin(), times.end());
  std::cout << what.bytes << " bytes after " << what.quiet * 1e3 << " ms, sender "
            << (what.sender_computes ? "computes" : "waits") << ", receiver "
            << (what.receiver_computes ? "computes" : "waits") << ": " << middle * 1e6 << " us one way (longest "
            << longest * 1e6 << ")";
  if (what.bytes == large_bytes) std::cout << ", " << static_cast<double>(what.bytes) / middle * 1e-9 << " GB/s";
  std::cout << std::endl;
}

}  // namespace

void while_computing(Transport& transport) {
  Group both(transport, {0, 1}, 1, 0);
  for (const double quiet : {0.001, 0.03})
    for (const bool computes : {false, true}) measure(transport, both, {64, 100, quiet, false, computes});
  for (const bool sender : {false, true})
    for (const bool receiver : {false, true}) measure(transport, both, {large_bytes, 20, 0.03, sender, receiver});
}

}  // namespace interlock::bench
