// The conformance tests over real MPI processes: start with mpirun -np 4. Every rank runs the same list; rank 0 prints
// it, the others print their failures, and all end with an error when one rank failed.
#include "parallel/transport/mpi.h"

#include <gmock/gmock.h>

#include <iostream>

#include "runtime/core/error.h"
#include "tests/transport/conformance.h"

namespace interlock {

namespace {

Transport* transport_of_process = nullptr;

class FailuresOnly final : public testing::EmptyTestEventListener {
 public:
  explicit FailuresOnly(int rank) : rank_(rank) {}
  void OnTestPartResult(const testing::TestPartResult& result) override {
    if (!result.failed()) return;
    const auto* test = testing::UnitTest::GetInstance()->current_test_info();
    std::cerr << message("[rank ", rank_, "] ", test ? test->test_suite_name() : "", ".", test ? test->name() : "", " ",
                         result.file_name() ? result.file_name() : "", ":", result.line_number(), "\n",
                         result.message(), "\n")
              << std::flush;
  }

 private:
  int rank_;
};

int run_all_tests(Transport& transport) {
  auto& listeners = testing::UnitTest::GetInstance()->listeners();
  if (transport.rank() > 0) {
    delete listeners.Release(listeners.default_result_printer());
    listeners.Append(new FailuresOnly(transport.rank()));
  }
  const double own = RUN_ALL_TESTS();
  Group everyone(transport, {0, 1, 2, 3}, 0, 0);
  const auto failed = everyone.all_gather(std::vector<double>{own});
  int total = 0;
  for (int rank = 0; rank < transport.size(); ++rank) {
    total += failed[rank] != 0;
    if (transport.rank() == 0 && failed[rank] != 0) std::cout << "rank " << rank << " failed" << std::endl;
  }
  return total ? 1 : 0;
}

}  // namespace

namespace conformance {

uint64_t test_run() { return static_cast<uint64_t>(testing::UnitTest::GetInstance()->current_test_info()->line()) + 1; }

void on_ranks(const std::function<void(Transport&)>& body) {
  body(*transport_of_process);
  world(*transport_of_process, 99).barrier();
}

}  // namespace conformance

namespace {

TEST(Mpi, PlaceAndDescriptionFit) {
  const LaunchPlace place = launch_place();
  EXPECT_TRUE(place.launched);
  EXPECT_EQ(place.rank, transport_of_process->rank());
  EXPECT_EQ(place.size, transport_of_process->size());
  EXPECT_THAT(transport_of_process->description(), testing::HasSubstr("MPI_THREAD_"));
}

TEST(Mpi, ALaneBeyondTheTagsIsRefused) {
  for (const Lane lane : {Lane{MessageKind::activation, 4096, 0}, Lane{MessageKind::gradient, 0, 256},
                          Lane{MessageKind::gradient, -1, 0}}) {
    try {
      transport_of_process->receive(0, conformance::header(lane, 0), Buffer::allocate(0));
      ADD_FAILURE() << "accepted";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::config);
    }
  }
}

TEST(Mpi, StartsOncePerProcess) { EXPECT_THROW(make_mpi(), Error); }

}  // namespace
}  // namespace interlock

int main(int argc, char** argv) {
  testing::InitGoogleMock(&argc, argv);
  interlock::MpiOptions options;
  options.piece_bytes = interlock::conformance::piece_bytes;
  const auto transport = interlock::make_mpi(options);
  if (transport->size() != interlock::conformance::ranks) {
    std::cerr << "start with mpirun -np " << interlock::conformance::ranks << std::endl;
    return 2;
  }
  interlock::transport_of_process = transport.get();
  return interlock::run_all_tests(*transport);
}
