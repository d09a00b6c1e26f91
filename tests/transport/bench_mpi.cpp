// Figures of the MPI transport, start with mpirun -np 2: what a rank that waits costs, how fast messages are, and how
// fast while ranks compute. With the argument "plain" the same over the library alone, "busy" only the part while ranks
// compute; a second argument cuts payloads into pieces of so many bytes.
#include <sys/resource.h>

#include <chrono>
#include <iostream>
#include <string>
#include <thread>

#include "parallel/transport/group.h"
#include "parallel/transport/mpi.h"
#include "tests/transport/bench.h"

namespace interlock {
namespace {

using bench::now;

double processor_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](timeval t) { return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec); };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

MessageHeader header(uint64_t bytes, int64_t step) {
  MessageHeader header;
  header.step = step;
  header.bytes = bytes;
  return header;
}

// Half a round trip, both sides waiting.
void ping_pong(Transport& transport, uint64_t bytes, int rounds) {
  const int other = 1 - transport.rank();
  const Buffer out = Buffer::allocate(bytes), in = Buffer::allocate(bytes);
  std::fill_n(out.data, bytes, std::byte{1});
  std::fill_n(in.data, bytes, std::byte{1});
  double start = 0;
  const int warm_up = rounds / 10;
  for (int i = -warm_up; i < rounds; ++i) {
    if (i == 0) start = now();
    const auto receive = transport.receive(other, header(bytes, i), in);
    if (transport.rank() == 1) receive->wait();
    const auto send = transport.send(other, header(bytes, i), out);
    if (transport.rank() == 0) receive->wait();
    send->wait();
  }
  const double one_way = (now() - start) / rounds / 2;
  if (transport.rank() == 0) {
    std::cout << bytes << " bytes: " << one_way * 1e6 << " us one way, " << static_cast<double>(bytes) / one_way * 1e-9
              << " GB/s" << std::endl;
  }
}

// Rank 1 waits `seconds` for a message, either in wait() or computing (asleep here) with the receive posted.
void wait_long(Transport& transport, double seconds, bool waits) {
  const auto span = std::chrono::duration<double>(seconds);
  if (transport.rank() == 0) {
    std::this_thread::sleep_for(span);
    transport.send(1, header(64, 1), Buffer::allocate(64))->wait();
    return;
  }
  const double before = processor_seconds();
  const auto receive = transport.receive(0, header(64, 1), Buffer::allocate(64));
  if (!waits) std::this_thread::sleep_for(span);
  receive->wait();
  std::cout << (waits ? "waiting " : "receive posted while computing ") << seconds
            << " s: " << 100 * (processor_seconds() - before) / seconds << " % of a core" << std::endl;
}

void run(Transport& transport) {
  Group both(transport, {0, 1}, 0, 0);
  for (const double seconds : {0.01, 0.1, 5.0}) {
    for (const bool waits : {true, false}) {
      wait_long(transport, seconds, waits);
      both.barrier();
    }
  }
  ping_pong(transport, 64, 5000);
  ping_pong(transport, 4096, 5000);
  ping_pong(transport, 512 << 10, 1000);
  ping_pong(transport, 64 << 20, 20);
  std::vector<float> gradient(4 << 20, 1.0f);
  for (int i = 0; i < 3; ++i) {
    const double start = now();
    both.all_reduce(gradient);
    if (i == 2 && transport.rank() == 0) std::cout << "all-reduce of 16 MiB: " << now() - start << " s" << std::endl;
  }
}

}  // namespace
}  // namespace interlock

int main(int count, char** arguments) {
  const std::string mode = count > 1 ? arguments[1] : "";
  if (mode == "plain") return interlock::bench::plain_mpi();
  interlock::MpiOptions options;
  if (count > 2) options.piece_bytes = std::stoull(arguments[2]);
  const auto transport = interlock::make_mpi(options);
  if (transport->rank() == 0) std::cout << transport->description() << std::endl;
  if (transport->size() != 2) return 2;
  if (mode != "busy") interlock::run(*transport);
  interlock::bench::while_computing(*transport);
}
