// What a stage's list of tensors says, copies and refuses.
#include "parallel/stage/parameter_store.h"

#include <gtest/gtest.h>

#include "runtime/core/error.h"
#include "tests/stage/support.h"

namespace interlock {
namespace {

using tests::bit_equal;
using tests::some_numbers;
using Kind = ParameterStore::Kind;

struct Some : torch::nn::Module {
  Some() {
    weight = register_parameter("weight", some_numbers({3, 4}, at::kFloat));
    still = register_parameter("still", some_numbers({4}, at::kFloat), false);
    mean = register_buffer("mean", some_numbers({2}, at::kFloat));
  }
  at::Tensor weight, still, mean;
};

template <class Call>
std::string refusal(Call call) {
  try {
    call();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::gave_up);
    return error.what();
  }
  ADD_FAILURE() << "nothing was refused";
  return "";
}

TEST(ParameterStore, ListsWhatTrainsWhatIsFrozenAndBuffers) {
  Some module;
  ParameterStore store;
  store.add(module);
  ASSERT_EQ(store.entries().size(), 3U);
  const std::vector<std::pair<std::string, Kind>> expected{
      {"weight", Kind::trained}, {"still", Kind::frozen}, {"mean", Kind::buffer}};
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(store.entries()[i].name, expected[i].first);
    EXPECT_EQ(store.entries()[i].kind, expected[i].second);
    EXPECT_TRUE(store.entries()[i].stored);
  }
  EXPECT_TRUE(store.entry("still").value.is_same(module.still));
  EXPECT_EQ(store.find(module.mean), &store.entry("mean"));
  EXPECT_EQ(store.find(module.weight.clone()), nullptr);
}

TEST(ParameterStore, RefusesANameTwiceAndOneThatIsNotThere) {
  Some one, other;
  ParameterStore store;
  store.add(one);
  EXPECT_NE(refusal([&] { store.add(other); }).find("weight"), std::string::npos);
  EXPECT_NE(refusal([&] { store.entry("no.such"); }).find("no.such"), std::string::npos);
}

TEST(ParameterStore, AStageRefusesAHeadThatNamesATensorOfItsBody) {
  struct SameName : Head {
    SameName() { register_parameter("weight0", some_numbers({2}, at::kFloat)); }
    LossSum loss(const at::Tensor&, const ForwardContext&) override { return {}; }
    at::Tensor scores(const at::Tensor&, const ForwardContext&) override { return {}; }
  };
  Stage::Parts parts;
  parts.body = std::make_shared<tests::CountingBody>(1);
  parts.head = std::make_shared<SameName>();
  parts.make_optimizer = tests::optimizer_of("");
  EXPECT_NE(refusal([&] { Stage(0, parts); }).find("weight0"), std::string::npos);
}

TEST(ParameterStore, CopiesInTheTypeOfProductsFollowTheValuesWhenToldTo) {
  Some module;
  ParameterStore store;
  store.add(module);
  ParameterStore::Entry& entry = store.entry("weight");
  EXPECT_TRUE(store.values(entry, at::kFloat).is_same(module.weight)) << "the same type needs no copy";
  const at::Tensor copy = store.values(entry, at::kBFloat16), before = module.weight.detach().clone();
  EXPECT_TRUE(bit_equal(copy, before.to(at::kBFloat16)));
  EXPECT_FALSE(copy.requires_grad());
  module.weight.detach().mul_(3);
  EXPECT_TRUE(store.values(entry, at::kBFloat16).is_same(copy)) << "it was made again before anybody asked for that";
  store.refresh({entry.value});
  EXPECT_TRUE(bit_equal(copy, (before * 3).to(at::kBFloat16)));
}

}  // namespace
}  // namespace interlock
