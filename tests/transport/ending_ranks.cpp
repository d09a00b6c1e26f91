// Ranks that end in the way the argument says; ending_test.cpp starts it under mpirun and looks at what comes out.
#include <unistd.h>

#include <csignal>
#include <iostream>
#include <string>

#include "parallel/transport/group.h"
#include "parallel/transport/mpi.h"
#include "runtime/core/error.h"

namespace interlock {
namespace {

void wait_for_nobody(Transport& transport) {
  MessageHeader never;
  never.lane.boundary = 9;
  transport.receive((transport.rank() + 1) % transport.size(), never, Buffer::allocate(0))->wait();
}

// The others' reduce-scatter waits for what rank 2 would have sent.
void reduce_with(Transport& transport, const std::vector<int>& members, bool fails) {
  Group group(transport, members, 1, 0);
  std::vector<float> values(100'000, 1);
  const std::vector<Group::Range> cut{{0, 40'000, 0}, {40'000, 70'000, 1}, {70'000, 100'000, 2}};
  if (fails) raise(SIGKILL);
  group.begin_reduce_scatter(std::span(values), cut)->finish();
}

int end(const std::string& how) {
  const auto transport = make_mpi();
  std::vector<int> members;
  for (int rank = 0; rank < transport->size(); ++rank) members.push_back(rank);
  Group(*transport, members, 0, 0).barrier();
  const bool fails = transport->rank() == 2;
  if (how == "well") {
    MessageHeader never;  // a receive that stays open must not keep a rank from ending
    const auto open = transport->receive((transport->rank() + 1) % transport->size(), never, Buffer::allocate(0));
    return 0;
  }
  if (how == "kill in a collective") reduce_with(*transport, members, fails);
  if (!fails) wait_for_nobody(*transport);
  if (how == "abort") {
    std::cerr << "interlock: error: rank 2: disk is full\n" << std::flush;
    transport->abort(73, "disk is full");
  }
  if (how == "throw") throw Error(ExitCode::bad_input, "rank 2: file is corrupt");
  if (how == "kill") raise(SIGKILL);
  return 0;
}

}  // namespace
}  // namespace interlock

int main(int, char** argv) {
  try {
    return interlock::end(argv[1]);
  } catch (const interlock::Error& error) {
    std::cerr << "interlock: error: " << error.what() << std::endl;
    return static_cast<int>(error.code());
  }
}
