// NCCL itself on GPUs: one rank, or several under mpirun (on one GPU where the library allows that: NCCL 2.30.3 or
// later and NCCL_MULTI_RANK_GPU_ENABLE=1). Ends with 77 and a sentence where that cannot be. What was measured is
// printed as one JSON object by rank 0.
#include <cuda_runtime_api.h>
#include <gmock/gmock.h>

#include <chrono>
#include <iostream>
#include <numeric>
#include <thread>

#include "parallel/transport/loopback.h"
#include "parallel/transport/mpi.h"
#include "parallel/transport/nccl/nccl.h"
#include "parallel/transport/nccl/real_calls.h"
#include "tests/transport/mpi_tests.h"

namespace interlock {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using Clock = std::chrono::steady_clock;
using Pairs = std::vector<std::pair<int, int>>;

constexpr int skipped = 77;

Transport* host = nullptr;
NcclCalls* calls = nullptr;
cudaStream_t compute = nullptr;
std::vector<std::string> measured;

void check(cudaError_t error) {
  if (error != cudaSuccess) throw Error(ExitCode::gave_up, cudaGetErrorString(error));
}

// One block for all tests: allocating and freeing may wait for the whole GPU, and so for calls that wait for the
// others.
constexpr uint64_t arena_bytes = uint64_t{1} << 30;
std::byte* arena = nullptr;
uint64_t arena_used = 0;

Buffer on_gpu(uint64_t bytes) {
  const uint64_t begin = arena_used;
  arena_used += (bytes + 511) / 512 * 512;
  if (arena_used > arena_bytes) throw Error(ExitCode::gave_up, "the test needs a larger arena");
  return {nullptr, arena + begin, bytes};
}

class NcclGpu : public testing::Test {
 protected:
  NcclGpu() { arena_used = 0; }
};

template <class T>
Buffer to_gpu(const std::vector<T>& values) {
  const Buffer buffer = on_gpu(values.size() * sizeof(T));
  check(cudaMemcpyAsync(buffer.data, values.data(), buffer.bytes, cudaMemcpyHostToDevice, compute));
  check(cudaStreamSynchronize(compute));
  return buffer;
}
// In order of the compute stream: right after a join().
template <class T>
std::vector<T> from_gpu(const Buffer& buffer) {
  std::vector<T> values(buffer.bytes / sizeof(T));
  check(cudaMemcpyAsync(values.data(), buffer.data, buffer.bytes, cudaMemcpyDeviceToHost, compute));
  check(cudaStreamSynchronize(compute));
  return values;
}
std::vector<uint8_t> pattern(uint64_t seed, uint64_t bytes) {
  std::vector<uint8_t> made(bytes);
  for (uint64_t i = 0; i < bytes; ++i)
    made[i] = static_cast<uint8_t>(((seed + 1) * 0x9E3779B97F4A7C15 + i * 0xD1B54A32D192ED03) >> 56);
  return made;
}
template <class T>
std::span<T> values_of(const Buffer& buffer) {
  return {reinterpret_cast<T*>(buffer.data), buffer.bytes / sizeof(T)};
}

MessageHeader header(uint64_t bytes, MessageKind kind = MessageKind::activation, int microbatch = 0) {
  MessageHeader made;
  made.lane = {kind, 0, 0};
  made.microbatch = microbatch;
  made.bytes = bytes;
  return made;
}
Pairs ring(int ranks) {
  Pairs pairs;
  for (int rank = 0; rank < ranks && ranks > 1; ++rank)
    pairs.insert(pairs.end(), {{rank, (rank + 1) % ranks}, {(rank + 1) % ranks, rank}});
  std::ranges::sort(pairs);
  pairs.erase(std::unique(pairs.begin(), pairs.end()), pairs.end());
  return pairs;
}
std::unique_ptr<Transport> nccl(double limit_seconds = 15) {
  return make_nccl(*host, *calls, {.pairs = ring(host->size()), .limit_seconds = limit_seconds});
}
std::vector<int> everybody() {
  std::vector<int> members(host->size());
  std::iota(members.begin(), members.end(), 0);
  return members;
}
double seconds_since(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

TEST_F(NcclGpu, StartsAndEnds) {
  const auto begin = Clock::now();
  { const auto transport = nccl(); }
  measured.push_back(message("\"start_seconds\":", seconds_since(begin)));
}

// Nobody else comes: what is being made must be aborted within the limit.
TEST_F(NcclGpu, ACommunicatorThatNeverComesIsAborted) {
  const auto begin = Clock::now();
  std::string told;
  run_loopback(2, [&](Transport& pair) {
    if (pair.rank() == 1) {
      MessageHeader id;
      id.lane = {MessageKind::report, 3, 0};
      id.bytes = sizeof(NcclId);
      pair.receive(0, id, Buffer::allocate(sizeof(NcclId)))->wait();
      return;
    }
    calls->use_gpu();
    try {
      make_nccl(pair, *calls, {.pairs = {{0, 1}}, .limit_seconds = 3});
    } catch (const Error& error) {
      told = error.what();
    }
  });
  EXPECT_THAT(told, HasSubstr("the communicator of messages from rank 0 to rank 1"));
  EXPECT_LT(seconds_since(begin), 20);
  measured.push_back(message("\"abort_in_start_seconds\":", seconds_since(begin)));
}

TEST_F(NcclGpu, OneMessage) {
  if (host->size() == 1) GTEST_SKIP() << "one rank";
  const auto transport = nccl();
  const Buffer buffer = to_gpu(pattern(transport->rank(), 100'000));
  if (transport->rank() == 0) transport->send(1, header(100'000), buffer)->wait();
  if (transport->rank() != 1) return;
  transport->receive(0, header(100'000), buffer)->wait();
  EXPECT_EQ(from_gpu<uint8_t>(buffer), pattern(0, 100'000));
}

TEST_F(NcclGpu, OneEachWayAtATime) {
  if (host->size() == 1) GTEST_SKIP() << "one rank";
  const auto transport = nccl();
  const int rank = transport->rank();
  if (rank > 1) return;
  const Buffer out = to_gpu(pattern(rank, 100'000)), in = on_gpu(100'000);
  const auto posted = transport->receive(1 - rank, header(100'000), in);
  const auto sent = transport->send(1 - rank, header(100'000), out);
  sent->wait();
  posted->wait();
  EXPECT_EQ(from_gpu<uint8_t>(in), pattern(1 - rank, 100'000));
}

// Messages of all sizes to both neighbours at once, joined and read on the compute stream.
TEST_F(NcclGpu, MessagesArriveWhole) {
  if (host->size() == 1) GTEST_SKIP() << "one rank";
  const auto transport = nccl();
  const int rank = transport->rank(), size = transport->size(), up = (rank + 1) % size, down = (rank + size - 1) % size;
  const std::vector<uint64_t> sizes{1, 100, 4096, 0, 65'537, 8 << 20};
  std::vector<std::unique_ptr<Handle>> received, sent;
  std::vector<Buffer> came;
  for (const uint64_t bytes : sizes) {
    for (const int from : {down, up}) {
      came.push_back(on_gpu(bytes));
      received.push_back(transport->receive(
          from, header(bytes, from == down ? MessageKind::activation : MessageKind::gradient), came.back()));
    }
  }
  for (const uint64_t bytes : sizes) {
    sent.push_back(transport->send(up, header(bytes), to_gpu(pattern(rank, bytes))));
    sent.push_back(transport->send(down, header(bytes, MessageKind::gradient), to_gpu(pattern(100 + rank, bytes))));
  }
  for (size_t i = 0; i < received.size(); ++i) {
    received[i]->join();
    const bool from_down = i % 2 == 0;
    EXPECT_EQ(from_gpu<uint8_t>(came[i]), pattern(from_down ? down : 100 + up, sizes[i / 2])) << "message " << i;
  }
  for (const auto& handle : sent) handle->wait();
}

TEST_F(NcclGpu, APostHoldsUpNothing) {
  if (host->size() == 1) GTEST_SKIP() << "one rank";
  const auto transport = nccl();
  const int rank = transport->rank();
  if (rank > 1) return;
  const Buffer came = on_gpu(1 << 20);
  const auto posted = transport->receive(1 - rank, header(1 << 20), came);
  if (rank == 1) posted->wait();
  const auto sent = transport->send(1 - rank, header(1 << 20), to_gpu(pattern(rank, 1 << 20)));
  posted->wait();
  sent->wait();
  EXPECT_EQ(from_gpu<uint8_t>(came), pattern(1 - rank, 1 << 20));
}

// Small whole numbers: sums are exact in any order.
template <class T>
void check_collectives(Collectives& over, size_t count) {
  const int own = over.position(), size = over.size();
  std::vector<T> values(count), sums(count, 0);
  for (size_t i = 0; i < count; ++i) {
    values[i] = static_cast<T>((i * 7 + static_cast<size_t>(own) * 13) % 101);
    for (int member = 0; member < size; ++member)
      sums[i] += static_cast<T>((i * 7 + static_cast<size_t>(member) * 13) % 101);
  }
  Buffer buffer = to_gpu(values);
  over.begin_all_reduce(values_of<T>(buffer), buffer.owner)->join();
  EXPECT_EQ(from_gpu<T>(buffer), sums);
  for (const bool equal : {true, false}) {
    std::vector<Collectives::Range> ranges;
    const size_t share = count / static_cast<size_t>(size);
    for (int member = 0; member < size; ++member) {
      const size_t begin = static_cast<size_t>(member) * share;
      const size_t cut = equal ? share : share / 3 + static_cast<size_t>(member);
      ranges.push_back({begin, begin + cut, member});
      if (!equal) ranges.push_back({begin + cut, begin + share, size - 1 - member});
    }
    buffer = to_gpu(values);
    over.begin_reduce_scatter(values_of<T>(buffer), ranges, buffer.owner)->join();
    std::vector<T> found = from_gpu<T>(buffer);
    for (const auto& [begin, end, owner] : ranges)
      for (size_t i = begin; i < end && owner == own; ++i) ASSERT_EQ(found[i], sums[i]) << i << ' ' << equal;
    std::vector<Collectives::Shard> shards;
    for (const auto& [begin, end, owner] : ranges)
      shards.push_back({std::as_writable_bytes(values_of<T>(buffer).subspan(begin, end - begin)), owner});
    over.begin_all_gather(shards, buffer.owner)->join();
    found = from_gpu<T>(buffer);
    for (size_t i = 0; i < share * static_cast<size_t>(size); ++i) ASSERT_EQ(found[i], sums[i]) << i << ' ' << equal;
  }
}

TEST_F(NcclGpu, CollectivesGiveExactSumsOfWholeNumbers) {
  const auto transport = nccl();
  const auto over = transport->make_collectives(everybody(), 1, 1);
  for (const size_t count : {64, 1'000, 300'000}) {
    check_collectives<float>(*over, count);
    check_collectives<double>(*over, count);
  }
}

// Host to host: both ranks send 64 MiB at once; and 4 KiB there and back.
TEST_F(NcclGpu, Rates) {
  if (host->size() == 1) GTEST_SKIP() << "one rank";
  const auto transport = nccl();
  if (transport->rank() > 1) return;
  const int other = 1 - transport->rank();
  const auto exchange = [&](uint64_t bytes, int times) {
    const Buffer out = on_gpu(bytes), in = on_gpu(bytes);
    Clock::time_point begin;
    for (int i = -3; i < times; ++i) {
      if (i == 0) begin = Clock::now();
      const auto posted = transport->receive(other, header(bytes), in);
      const auto sent = transport->send(other, header(bytes), out);
      posted->wait();
      sent->wait();
    }
    return seconds_since(begin) / times;
  };
  const double small = exchange(4096, 200), large = exchange(64 << 20, 10);
  measured.push_back(message("\"microseconds_4_KiB\":", 1e6 * small));
  measured.push_back(message("\"GB_per_second_64_MiB_each_way\":", (64 << 20) / large / 1e9));
}

// The last one: nothing can follow on these ranks' connections.
TEST_F(NcclGpu, ZWhatNeverComesIsAnErrorWithinTheLimit) {
  if (host->size() == 1) GTEST_SKIP() << "one rank";
  const auto begin = Clock::now();
  {
    const auto transport = nccl(3);
    if (transport->rank() == 0) {
      const auto posted = transport->receive(1, header(1000, MessageKind::activation, 5), on_gpu(1000));
      posted->join();
      check(cudaStreamSynchronize(compute));  // the abort must let it go on
      std::string told;
      try {
        transport->check();
      } catch (const Error& error) {
        told = error.what();
      }
      EXPECT_THAT(told, AllOf(HasSubstr("rank 0: a receive from rank 1"), HasSubstr("microbatch 5")));
      measured.push_back(message("\"lost_rank_seconds\":", seconds_since(begin)));
    } else {
      std::this_thread::sleep_for(std::chrono::seconds(5));
    }
  }
  EXPECT_LT(seconds_since(begin), 40);
}

int start() {
  const auto transport = make_mpi();
  host = transport.get();
  int gpus = 0;
  const cudaError_t found = cudaGetDeviceCount(&gpus);
  if (found != cudaSuccess || gpus == 0) {
    if (host->rank() == 0)
      std::cout << "skipped: no GPU here (" << (found == cudaSuccess ? "none is visible" : cudaGetErrorString(found))
                << ")" << std::endl;
    return skipped;
  }
  const int gpu = launch_place().local_rank % gpus;
  check(cudaSetDevice(gpu));
  check(cudaStreamCreateWithFlags(&compute, cudaStreamNonBlocking));
  void* memory = nullptr;
  check(cudaMalloc(&memory, arena_bytes));
  arena = static_cast<std::byte*>(memory);
  const auto real = real_nccl_calls(gpu, [] { return compute; });
  calls = real.get();
  if (const std::string obstacle = nccl_obstacle(*host, *calls); !obstacle.empty()) {
    if (host->rank() == 0) std::cout << "skipped: " << obstacle << std::endl;
    return skipped;
  }
  if (host->rank() == 0)
    std::cout << "NCCL " << nccl_version_text(calls->library_version()) << ", " << host->size() << " ranks on " << gpus
              << " GPUs" << std::endl;
  const int result = run_all_tests(*host);
  if (host->rank() == 0) {
    std::cout << "{\"nccl\":" << calls->library_version() << ",\"ranks\":" << host->size() << ",\"failed\":" << result;
    for (const std::string& one : measured) std::cout << "," << one;
    std::cout << "}" << std::endl;
  }
  return result;
}

}  // namespace
}  // namespace interlock

int main(int argc, char** argv) {
  testing::InitGoogleMock(&argc, argv);
  setenv("CUDA_DEVICE_MAX_CONNECTIONS", "32", 0);  // before CUDA starts; see the README of parallel/transport
  try {
    return interlock::start();
  } catch (const std::exception& error) {
    std::cerr << "transport_nccl_gpu_test: " << error.what() << std::endl;
    return 1;
  }
}
