// Estimated costs against what really happens: parameters counted, bytes alive after a forward pass counted by an
// allocator.
#include <c10/core/CPUAllocator.h>
#include <c10/core/impl/alloc_cpu.h>
#include <gtest/gtest.h>

#include <mutex>
#include <unordered_map>

#include "tests/models/support.h"

namespace interlock::tests {
namespace {

const std::string small = "layers = 3\nwidth = 64\nheads = 4\nfeed_forward = 128\nvocabulary = 100\nmax_length = 32\n";

// Allocates as LibTorch does and keeps the sum of what is live. Installed once, for good: a block may be freed after a
// test has ended. (Sizes are looked up by address because LibTorch's raw_allocate wants the plain block as its own
// context.)
class CountingAllocator : public c10::Allocator {
 public:
  static CountingAllocator& instance() {
    static CountingAllocator* counting = [] {
      auto* made = new CountingAllocator;
      c10::SetCPUAllocator(made, 1);
      return made;
    }();
    return *counting;
  }

  c10::DataPtr allocate(size_t bytes) override {
    void* block = c10::alloc_cpu(bytes);
    const std::lock_guard lock(mutex_);
    sizes_[block] = static_cast<int64_t>(bytes);
    live_ += static_cast<int64_t>(bytes);
    return {block, block, &release, c10::Device(c10::DeviceType::CPU)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &release; }
  void copy_data(void* to, const void* from, size_t bytes) const override { default_copy_data(to, from, bytes); }
  int64_t live() const { return live_; }

 private:
  CountingAllocator() = default;
  static void release(void* block) {
    CountingAllocator& self = instance();
    const std::lock_guard lock(self.mutex_);
    const auto found = self.sizes_.find(block);
    if (found != self.sizes_.end()) {
      self.live_ -= found->second;
      self.sizes_.erase(found);
    }
    c10::free_cpu(block);
  }

  std::mutex mutex_;
  std::unordered_map<void*, int64_t> sizes_;
  int64_t live_ = 0;
};

int64_t numbers(const torch::nn::Module& module) {
  int64_t sum = 0;
  for (const auto& parameter : module.parameters()) sum += parameter.numel();
  return sum;
}

TEST(Costs, CountEveryParameter) {
  for (const Given& given :
       {Given{.toml = small}, Given{.name = "mlp", .toml = "layers = 3\nwidth = 7\n", .classes = 5, .features = 9}}) {
    const auto model = make_model(given);
    const auto blocks = model->block_costs(2);
    for (int64_t i = 0; i < model->blocks(); ++i) {
      EXPECT_EQ(blocks[static_cast<size_t>(i)].parameters, numbers(*model->body(i, i + 1))) << given.name << " " << i;
    }
    EXPECT_EQ(model->readout_costs(2).parameters, numbers(*model->readout())) << given.name;
    for (const std::string& kind : model->head_kinds()) {
      EXPECT_EQ(model->head_costs(kind, 2).parameters, numbers(*model->head(kind, 1))) << given.name << " " << kind;
    }
  }
}

class Activations : public testing::TestWithParam<const char*> {};

TEST_P(Activations, OfBlocksAreWhatStaysAliveAfterForward) {
  const auto model = make_model({.toml = small + GetParam()});
  const Batch batch = token_batch(4, 32, 100);
  const ForwardContext context{&batch, 1, 0, true};
  const auto body = model->body(0, 3);
  const int64_t before = CountingAllocator::instance().live();
  const auto out = body->forward(batch.inputs, context);
  const int64_t alive = CountingAllocator::instance().live() - before;
  int64_t expected = static_cast<int64_t>(out.nbytes());  // the output is saved by who reads it
  for (const Costs& costs : model->block_costs(4)) expected += costs.activation_bytes;
  // Not counted: scalars, and the sum of position and type embeddings ([length, width]). Under 3 % at this size.
  EXPECT_NEAR(static_cast<double>(alive), static_cast<double>(expected), 0.03 * static_cast<double>(expected));
}

INSTANTIATE_TEST_SUITE_P(Dropout, Activations,
                         testing::Values("dropout = 0\n", "dropout = 0.1\n", "dropout = 0.1\nattention_dropout = 0\n",
                                         "dropout = 0\nattention_dropout = 0.1\n"));

TEST(Costs, ActivationsOfReadoutsAreWhatStaysAliveAfterTheLoss) {
  const auto model = make_model({.toml = small + "dropout = 0\n"});
  Batch batch = token_batch(10, 32, 100);
  batch.targets.fill_(ignored_target);
  batch.targets.view(-1).narrow(0, 40, 48).fill_(9);  // 15 % of 320 positions
  const ForwardContext context{&batch, 1, 0, true};
  const auto hidden = some_numbers({10, 32, 64}, at::kFloat).requires_grad_();
  const auto check = [&](const std::shared_ptr<Head>& head, int64_t expected) {
    const int64_t before = CountingAllocator::instance().live();
    const LossSum loss = head->loss(hidden, context);
    const auto alive = static_cast<double>(CountingAllocator::instance().live() - before);
    // Not counted: the indices of the rows and the targets.
    EXPECT_NEAR(alive, static_cast<double>(expected), 0.03 * static_cast<double>(expected));
  };
  check(model->readout(), model->readout_costs(10).activation_bytes);
  check(model->head("linear", 1), model->head_costs("linear", 10).activation_bytes);
  // The block's input is the hidden state, which was there before.
  check(model->head("block", 1),
        model->head_costs("block", 10).activation_bytes - static_cast<int64_t>(hidden.nbytes()));
}

TEST(Costs, ProductsOfABlockByHand) {
  // samples 2, length 32, width 64, feed-forward 128: 64 tokens; per token 4 * 64^2 + 2 * 64 * 128 multiplications in
  // linear layers and 32 * 64 in each of the attention's two products; two operations each.
  const auto costs = make_model({.toml = small + "dropout = 0\n"})->block_costs(2)[1];
  const double linear = 2.0 * 64 * (4 * 64 * 64 + 2 * 64 * 128), attention = 2.0 * 64 * 32 * 64;
  EXPECT_EQ(costs.forward_flops, linear + 2 * attention);
  EXPECT_EQ(costs.weight_gradient_flops, linear);
  EXPECT_EQ(costs.input_gradient_flops, linear + 5 * attention);
}

}  // namespace
}  // namespace interlock::tests
