// MPI_Send and MPI_Recv of 64 MiB between two ranks, without our transport: what a large message could take, with both
// cores free and with a thread of each rank that computes.
#include <mpi.h>

#include <atomic>
#include <iostream>
#include <thread>

#include "tests/transport/bench.h"

namespace interlock::bench {
namespace {

// One way of every round trip, in seconds.
std::vector<double> ping_pong(int rank, int rounds) {
  std::vector<char> out(large_bytes, 1), in(large_bytes, 1);
  const int count = static_cast<int>(large_bytes), other = 1 - rank;
  std::vector<double> one_way;
  for (int i = -2; i < rounds; ++i) {
    const double start = now();
    if (rank == 0) MPI_Send(out.data(), count, MPI_BYTE, other, 0, MPI_COMM_WORLD);
    MPI_Recv(in.data(), count, MPI_BYTE, other, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    if (rank == 1) MPI_Send(out.data(), count, MPI_BYTE, other, 0, MPI_COMM_WORLD);
    if (i >= 0) one_way.push_back((now() - start) / 2);
  }
  return one_way;
}

void print(const char* what, const std::vector<double>& one_way) {
  std::cout << "plain MPI, 64 MiB, " << what << ": " << median(one_way) * 1e3 << " ms one way, "
            << static_cast<double>(large_bytes) / median(one_way) * 1e-9 << " GB/s" << std::endl;
}

}  // namespace

int plain_mpi() {
  int provided = 0, rank = 0, size = 0;
  MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &provided);
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  if (size == 2) {
    const std::vector<double> alone = ping_pong(rank, 20);
    if (rank == 0) print("nobody computes", alone);
    std::atomic<bool> end{false};
    std::thread computing([&] {
      double value = rank;
      while (!end) value = compute_a_little(value);
    });
    const std::vector<double> busy = ping_pong(rank, 20);
    end = true;
    computing.join();
    if (rank == 0) print("both compute", busy);
  }
  MPI_Finalize();
  return size == 2 ? 0 : 2;
}

}  // namespace interlock::bench
