#pragma once
// A GoogleTest program over MPI: every rank runs the same list; rank 0 prints it, the others print their failures, and
// all end with an error when one rank failed.

#include <gmock/gmock.h>

#include <iostream>

#include "parallel/transport/group.h"
#include "runtime/core/error.h"

namespace interlock {

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

inline int run_all_tests(Transport& transport) {
  auto& listeners = testing::UnitTest::GetInstance()->listeners();
  if (transport.rank() > 0) {
    delete listeners.Release(listeners.default_result_printer());
    listeners.Append(new FailuresOnly(transport.rank()));
  }
  const double own = RUN_ALL_TESTS();
  const auto failed = Group::of_all(transport).all_gather(std::vector<double>{own});
  int total = 0;
  for (int rank = 0; rank < transport.size(); ++rank) {
    total += failed[rank] != 0;
    if (transport.rank() == 0 && failed[rank] != 0) std::cout << "rank " << rank << " failed" << std::endl;
  }
  return total ? 1 : 0;
}

}  // namespace interlock
