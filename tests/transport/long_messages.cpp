// A message above 2 GiB, for real and compared byte by byte, over both transports. Linked with loopback when started
// alone, with MPI under mpirun. Needs about 5 GiB of memory.
#include <gtest/gtest.h>

#include <iostream>

#include "parallel/transport/loopback.h"
#include "parallel/transport/mpi.h"

namespace interlock {
namespace {

constexpr uint64_t bytes = (uint64_t{2} << 30) + (uint64_t{200} << 20) + 13;  // MPI counts end at 2^31 - 1

uint64_t word(uint64_t i) { return (i + 1) * 0x9E3779B97F4A7C15; }

void send_or_check(Transport& transport) {
  MessageHeader header;
  header.lane = {MessageKind::weights, 0, 0};
  header.bytes = bytes;
  const Buffer buffer = Buffer::allocate(bytes + 8 - bytes % 8);
  auto* words = reinterpret_cast<uint64_t*>(buffer.data);
  constexpr uint64_t count = bytes / 8;
  if (transport.rank() == 0) {
    for (uint64_t i = 0; i < count; ++i) words[i] = word(i);
    for (uint64_t i = 8 * count; i < bytes; ++i) buffer.data[i] = static_cast<std::byte>(i);
    transport.send(1, header, buffer)->wait();
  } else if (transport.rank() == 1) {
    transport.receive(0, header, buffer)->wait();
    uint64_t wrong = 0;
    for (uint64_t i = 0; i < count; ++i) wrong += words[i] != word(i);
    for (uint64_t i = 8 * count; i < bytes; ++i) wrong += buffer.data[i] != static_cast<std::byte>(i);
    EXPECT_EQ(wrong, 0u);
  }
}

TEST(LongMessages, MoreThanTwoGiBArriveWhole) {
  if (!launch_place().launched) {
    run_loopback(2, send_or_check);
    return;
  }
  const auto transport = make_mpi();
  ASSERT_GE(transport->size(), 2);
  send_or_check(*transport);
}

}  // namespace
}  // namespace interlock
