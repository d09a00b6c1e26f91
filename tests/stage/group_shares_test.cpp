// An optimizer's state shared out over replicas: where cuts lie, and that nobody sees them in a number.
#include <ATen/ops/equal.h>
#include <gtest/gtest.h>

#include "tests/stage/support.h"

namespace interlock {
namespace {

using namespace tests;

constexpr int64_t block = 4096;

class Shares : public testing::TestWithParam<int> {
 protected:
  // Every replica's group of the same tensors, each with the same gradients.
  static std::vector<std::unique_ptr<TrainableGroup>> groups(
      int replicas, const std::string& optimizer, at::ScalarType type = at::kFloat,
      const std::vector<std::vector<int64_t>>& shapes = odd_shapes) {
    std::vector<std::unique_ptr<TrainableGroup>> all;
    for (int position = 0; position < replicas; ++position) {
      TrainableGroup::Options options;
      options.share = {position, replicas};
      all.push_back(std::make_unique<TrainableGroup>(leaves(type, shapes), optimizer_of(optimizer), options));
      give_gradients(*all.back(), 3.0);
    }
    return all;
  }
};

TEST_P(Shares, OwnEverythingOnceInOrder) {
  for (const char* optimizer : {"name = \"adamw\"", "name = \"lamb\""}) {
    const auto all = groups(GetParam(), optimizer);
    for (const auto& group : all) {
      int64_t next = 0;
      for (int replica = 0; replica < GetParam(); ++replica) {
        const auto [begin, end] = group->owned_by(replica);
        EXPECT_LE(begin, end);
        if (begin == end) continue;
        EXPECT_EQ(begin, next) << "a hole or an overlap before replica " << replica;
        next = end;
      }
      EXPECT_EQ(next, group->values().numel());
      for (int replica = 0; replica < GetParam(); ++replica)
        EXPECT_EQ(group->owned_by(replica), all.front()->owned_by(replica)) << "two replicas cut differently";
    }
  }
}

TEST_P(Shares, AreCutBetweenBlocksAndWholeForLamb) {
  for (const char* optimizer : {"name = \"adamw\"", "name = \"lamb\""}) {
    const bool whole = std::string(optimizer).find("lamb") != std::string::npos;
    const auto all = groups(GetParam(), optimizer);
    const TrainableGroup& group = *all.back();
    std::vector<int64_t> reached(odd_shapes.size(), 0);
    for (const TrainableGroup::Shard& shard : group.shards()) {
      const int64_t size = group.parameters()[shard.parameter].value.numel();
      EXPECT_EQ(shard.begin, reached[shard.parameter]) << "shards of a parameter do not follow each other";
      reached[shard.parameter] = shard.end;
      EXPECT_EQ(shard.begin % block, 0);
      EXPECT_TRUE(shard.end % block == 0 || shard.end == size);
      if (whole) {
        EXPECT_EQ(shard.end - shard.begin, size);
      }
      const auto [begin, end] = group.owned_by(shard.owner);
      EXPECT_GE(group.offset(shard.parameter) + shard.begin, begin);
      EXPECT_LE(group.offset(shard.parameter) + shard.end, end);
    }
    for (size_t i = 0; i < reached.size(); ++i) EXPECT_EQ(reached[i], group.parameters()[i].value.numel());
    // The largest of these tensors has 15 blocks, more than half of all: elementwise shares must cut it.
    if (!whole && GetParam() > 1) {
      EXPECT_GT(group.shards().size(), odd_shapes.size());
    }
  }
}

TEST_P(Shares, NormIsAPlainSumAndTheSameBits) {
  for (const char* optimizer : {"name = \"adamw\"", "name = \"lamb\""})
    for (const at::ScalarType type : {at::kFloat, at::kDouble}) {
      const auto one = groups(1, optimizer, type);
      at::Tensor alone = one[0]->measure_norm().clone();
      const double norm = one[0]->squared_norm().item<double>();
      double plain = 0;
      for (const Parameter& parameter : one[0]->parameters())
        for (const double number : listed(parameter.gradient)) plain += number * number;
      EXPECT_NEAR(norm, plain, 1e-12 * plain);  // some 70000 roundings of 1e-16, most of which cancel
      const auto shares = groups(GetParam(), optimizer, type);
      at::Tensor sum = shares[0]->measure_norm();
      for (size_t position = 1; position < shares.size(); ++position) sum.add_(shares[position]->measure_norm());
      EXPECT_TRUE(at::equal(sum, alone));
      EXPECT_EQ(shares[0]->squared_norm().item<double>(), norm);
    }
}

// Each owner updates its part; put together they are what one replica makes of all.
TEST_P(Shares, UpdatesPutTogetherAreThoseOfTheWhole) {
  for (const char* optimizer : {"name = \"adamw\"", "name = \"lamb\"", "name = \"sgd\"\nmomentum = 0.9"}) {
    const auto one = groups(1, optimizer), shares = groups(GetParam(), optimizer);
    const at::Tensor before = one[0]->values().clone();
    for (int step = 0; step < 2; ++step) {
      one[0]->update(UpdateNumbers::of(0.01, 0.7));
      for (const auto& group : shares) group->update(UpdateNumbers::of(0.01, 0.7));
    }
    at::Tensor together = before.clone();
    for (int replica = 0; replica < GetParam(); ++replica) {
      const auto [begin, end] = shares[replica]->owned_by(replica);
      together.narrow(0, begin, end - begin).copy_(shares[replica]->values().narrow(0, begin, end - begin));
      // Nothing of the others was touched.
      at::Tensor rest = shares[replica]->values().clone();
      rest.narrow(0, begin, end - begin).copy_(before.narrow(0, begin, end - begin));
      EXPECT_TRUE(bit_equal(rest, before)) << optimizer << ", replica " << replica;
    }
    EXPECT_TRUE(bit_equal(together, one[0]->values())) << optimizer;
    EXPECT_FALSE(bit_equal(together, before));
  }
}

// More replicas than tensors or blocks: some own nothing.
TEST_P(Shares, OfATensorOfOneNumber) {
  const auto all = groups(GetParam(), "name = \"adamw\"", at::kFloat, {{1}});
  int owners = 0;
  for (int replica = 0; replica < GetParam(); ++replica) {
    const auto [begin, end] = all[replica]->owned_by(replica);
    owners += begin < end;
    EXPECT_EQ(all[replica]->own_shards().size(), begin < end ? 1U : 0U);
    all[replica]->update(UpdateNumbers::of(0.1));
  }
  EXPECT_EQ(owners, 1);
}

INSTANTIATE_TEST_SUITE_P(Of, Shares, testing::Values(1, 2, 3, 5));

}  // namespace
}  // namespace interlock
