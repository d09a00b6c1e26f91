// What readouts and heads of one target per sample keep, and the reconstruction head: estimated against an allocator's
// count.
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include "tests/models/counting_allocator.h"
#include "tests/models/support.h"

namespace interlock::tests {
namespace {

const std::string small = "layers = 3\nwidth = 64\nheads = 4\nfeed_forward = 128\nvocabulary = 100\nmax_length = 32\n";

class LabelCosts : public testing::TestWithParam<Precision> {};

TEST_P(LabelCosts, AreWhatStaysAliveAfterTheLoss) {
  const auto model = make_model({.toml = small + "dropout = 0\n",
                                 .classes = 5,
                                 .sample_length = 32,
                                 .precision = GetParam(),
                                 .predicted_share = 1.0 / 32,
                                 .objective = Objective::classification});
  Batch batch = token_batch(64, 32, 100);
  batch.targets = at::zeros({64}, at::kLong);
  batch.predicted = 64;
  const at::ScalarType type = model->boundary(1).type;
  const auto hidden = some_numbers({64, 32, 64}, at::kFloat).to(type).requires_grad_();
  ForwardContext context{&batch, 1, 0, true};
  context.features = some_numbers({64, 32, 64}, at::kFloat).to(type);
  for (const std::string kind : {"", "linear", "shared_readout", "reconstruction"}) {
    const auto head = kind.empty() ? model->readout() : model->head(kind, 1);
    const int64_t before = CountingAllocator::instance().live();
    const LossSum loss = head->loss(hidden, context);
    const auto alive = static_cast<double>(CountingAllocator::instance().live() - before);
    auto expected =
        static_cast<double>((kind.empty() ? model->readout_costs(64) : model->head_costs(kind, 64)).activation_bytes);
    if (kind == "shared_readout")
      expected -= static_cast<double>(hidden.nbytes());  // the block's input was there before
    // Losses and other single numbers are not counted: allocations of 64 bytes.
    EXPECT_NEAR(alive, expected, 0.04 * expected + 512) << kind;
  }
}

INSTANTIATE_TEST_SUITE_P(Types, LabelCosts, testing::Values(Precision::float32, Precision::bf16, Precision::float64));

}  // namespace
}  // namespace interlock::tests
