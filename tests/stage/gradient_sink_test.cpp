// Where gradients go: to the group that holds the parameter, at once or recorded.
#include "parallel/stage/gradient_sink.h"

#include <ATen/ops/full_like.h>
#include <gtest/gtest.h>

#include "runtime/core/error.h"
#include "tests/stage/support.h"

namespace interlock {
namespace {

using namespace tests;

struct Two : torch::nn::Module {
  Two() {
    trained = register_parameter("trained", some_numbers({3, 4}, at::kFloat));
    still = register_parameter("still", some_numbers({4}, at::kFloat), false);
  }
  at::Tensor trained, still;
};

class Sink : public testing::Test {
 protected:
  Sink() : group_({{"trained", module_.trained}}, optimizer_of(""), {}), sink_(store_) {
    store_.add(module_);
    sink_.add(group_, {module_.trained});
  }
  at::Tensor ones(double factor) const { return at::full_like(module_.trained.detach(), factor); }

  Two module_;
  TrainableGroup group_;
  ParameterStore store_;
  GradientSink sink_;
};

TEST_F(Sink, AddsAtTheFactorAtOnce) {
  sink_.add_at(0.5);
  sink_.add_gradient(module_.trained, term_of(ones(2)));
  sink_.add_at(4.0);
  sink_.add_gradient(module_.trained, term_of(ones(3)));
  EXPECT_TRUE(bit_equal(group_.parameters()[0].gradient, ones(13)));
}

TEST_F(Sink, RecordsUntilToldOtherwise) {
  std::vector<GradientSink::Recorded> record;
  group_.gradient().fill_(7);
  sink_.record_into(record);
  sink_.add_gradient(module_.trained, term_of(ones(2)));
  EXPECT_TRUE(bit_equal(group_.parameters()[0].gradient, ones(7))) << "a recorded term was added";
  sink_.add_at(1.0);
  sink_.add_gradient(module_.trained, term_of(ones(3)));
  ASSERT_EQ(record.size(), 1U);
  EXPECT_EQ(record[0].group, &group_);
  record[0].group->add_gradient(record[0].parameter, record[0].term, 10);
  EXPECT_TRUE(bit_equal(group_.parameters()[0].gradient, ones(23)));
}

TEST_F(Sink, RefusesByNameAGradientThatNobodyTrains) {
  const auto refusal = [&](const at::Tensor& tensor) -> std::string {
    try {
      sink_.add_gradient(tensor, term_of(tensor.detach()));
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::gave_up);
      return error.what();
    }
    return "";
  };
  EXPECT_NE(refusal(module_.still).find("still"), std::string::npos);
  EXPECT_NE(refusal(some_numbers({2}, at::kFloat)).find("without a name"), std::string::npos);
}

TEST_F(Sink, ValuesOfATensorThatIsNotListedAreConverted) {
  const at::Tensor copy = some_numbers({3}, at::kFloat);
  EXPECT_TRUE(bit_equal(sink_.values(copy, at::kBFloat16), copy.to(at::kBFloat16)));
}

}  // namespace
}  // namespace interlock
