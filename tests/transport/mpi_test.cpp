// The conformance tests over real MPI processes: start with mpirun -np 4.
#include "parallel/transport/mpi.h"

#include <gmock/gmock.h>

#include <iostream>

#include "runtime/core/error.h"
#include "tests/transport/conformance.h"
#include "tests/transport/mpi_tests.h"

namespace interlock {

namespace {

Transport* transport_of_process = nullptr;

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
