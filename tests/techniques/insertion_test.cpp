// What adapters and low-rank updates compute, what they train, what is left of the rest, and what checkpoints hold.

#include <ATen/ops/gelu.h>
#include <ATen/ops/layer_norm.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/relu.h>
#include <c10/core/GradMode.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <set>

#include "launch/settings/plans.h"
#include "models/equipped_model.h"
#include "models/insertion.h"
#include "models/parameter_count.h"
#include "tests/equivalence/pieces_of_a_run.h"

namespace interlock {
namespace {

using testing::HasSubstr;

const std::string adapters = "technique=[{name='adapters', size=3, deviation=0.3}]";
const std::string lora = "technique=[{name='lora', rank=3, dropout=0.2, targets=['query', 'intermediate.dense']}]";

std::shared_ptr<Model> model_of(const Overrides& overrides) {
  const RunSettings settings = settings_for_test(overrides);
  return make_model(settings, *make_dataset(settings));
}

// Remembers what passes a site.
class Probe final : public Insertion {
 public:
  explicit Probe(at::Tensor& x, at::Tensor& y) : x_(x), y_(y) {}
  at::Tensor after(const at::Tensor& x, const at::Tensor& y, const Norm&, const ForwardContext&) override {
    x_ = x, y_ = y;
    return y;
  }
  void start(at::Tensor&, const std::string&, uint64_t) const override {}
  Costs costs(int64_t) const override { return {}; }

 private:
  at::Tensor &x_, &y_;
};

// A block of width 16 with adapters, and what passes before and behind each.
struct Probed {
  explicit Probed(const std::string& options) {
    const c10::NoGradGuard no_graph;
    const auto model = model_of({"model.dropout=0.0"});
    const TechniqueList list = read_techniques(Config::from_text("[[technique]]\nname = \"adapters\"\n" + options));
    body = model->body(1, 2);
    for (const InsertionSite& site : model->sites()) {
      if (site.layer != 1 || site.kind != InsertionSite::Kind::sub_layer) continue;
      const int half = site.name.ends_with(".attention.output") ? 0 : 1;
      body->insert(site, std::make_shared<Probe>(x[half], before[half]));
      for (const auto& insertion : insertions_at(list, site, {Precision::float32, 4})) {
        for (auto& named : insertion->named_parameters()) insertion->start(named.value(), site.name + named.key(), 1);
        body->insert(site, insertion);
      }
      body->insert(site, std::make_shared<Probe>(x[half], behind[half]));
    }
    Batch batch;
    batch.sample_ids = {0, 1};
    out = body->forward(at::randn({2, 16, 16}), {.batch = &batch, .training = false});
  }
  at::Tensor parameter(const std::string& below) const {
    return body->named_parameters()["roberta.encoder.layer.1." + below];
  }
  at::Tensor normed(const std::string& norm, const at::Tensor& sum) const {
    return at::layer_norm(sum, {16}, parameter(norm + ".weight"), parameter(norm + ".bias"), 1e-5);
  }
  at::Tensor bottleneck(const std::string& site, const at::Tensor& h, bool relu) const {
    const auto of = [&](const std::string& part) { return parameter(site + ".adapters.interlock." + part); };
    const at::Tensor down = at::matmul(h, of("adapter_down.0.weight").t()) + of("adapter_down.0.bias");
    return at::matmul(relu ? at::relu(down) : at::gelu(down), of("adapter_up.weight").t()) + of("adapter_up.bias");
  }

  std::shared_ptr<Body> body;
  at::Tensor x[2], before[2], behind[2], out;  // of attention, of the feed-forward part
};

// Float32 sums of 16 numbers of order one.
void expect_close(const at::Tensor& a, const at::Tensor& b) { EXPECT_LE(largest_entry(minus(a, b)), 2e-6); }

// The published place: behind the sub-layer's own product (and dropout), before its residual and norm.
TEST(Adapters, AreHoulsbysFormulaInBothSubLayers) {
  const Probed with("size = 3\ndeviation = 0.3");
  const std::string sites[] = {"attention.output", "output"};
  for (int half = 0; half < 2; ++half) {
    const at::Tensor added = with.bottleneck(sites[half], with.before[half], false);
    EXPECT_GT(largest_entry(added), 1e-4);
    expect_close(with.behind[half], with.before[half] + added);
    const at::Tensor next = with.normed(sites[half] + ".LayerNorm", with.x[half] + with.behind[half]);
    expect_close(half == 0 ? with.x[1] : with.out, next);
  }
}

TEST(Adapters, AreMadeOfTheNormAsPfeifferHasIt) {
  const Probed with("size = 3\ndeviation = 0.3\nvariant = \"pfeiffer\"");
  expect_close(with.behind[0], with.before[0]);
  const at::Tensor added = with.bottleneck("output", with.normed("output.LayerNorm", with.x[1] + with.before[1]), true);
  EXPECT_GT(largest_entry(added), 1e-4);
  expect_close(with.behind[1], with.before[1] + added);
  expect_close(with.out, with.normed("output.LayerNorm", with.x[1] + with.behind[1]));
}

// Houlsby et al., BERT-base with bottlenecks of 64: 24 (2 x 768 x 64 + 64 + 768) numbers.
TEST(Adapters, HaveThePublishedNumbers) {
  const Overrides base{"model.layers=12",   "model.width=768",  "model.heads=12",          "model.feed_forward=3072",
                       "parallel.stages=1", "parallel.ranks=1", "parallel.partition=[12]", "learning.rule=global"};
  const TechniqueList list = read_techniques(Config::from_text("[[technique]]\nname = \"adapters\"\n"));
  const TechniqueList half =
      read_techniques(Config::from_text("[[technique]]\nname = \"adapters\"\nvariant = \"pfeiffer\"\n"));
  const auto plain = model_of(base);
  const auto added = [&](const TechniqueList& techniques) {
    const auto put = [&](const InsertionSite& site) {
      return insertions_at(techniques, site, {Precision::float32, 4});
    };
    return parameter_count(*equip(plain, put, 1)) - parameter_count(*plain);
  };
  EXPECT_EQ(added(list), 2'379'264);
  EXPECT_EQ(added(half), 2'379'264 / 2);
}

TEST(Adapters, BeginAsATruncatedNormal) {
  const auto body = model_of({"technique=[{name='adapters', size=16, deviation=0.01}]"})->body(0, 4);
  double squares = 0;
  int64_t count = 0;
  for (const auto& named : body->named_parameters()) {
    if (named.key().find(".adapters.") == std::string::npos) continue;
    if (named.value().dim() == 1) {
      EXPECT_EQ(largest_entry(named.value().detach()), 0) << named.key();
      continue;
    }
    EXPECT_LE(largest_entry(named.value().detach()), 0.02) << named.key();
    squares += (named.value() * named.value()).sum().item<double>();
    count += named.value().numel();
  }
  ASSERT_EQ(count, 8 * 2 * 16 * 16);
  // A normal cut off at two deviations has 0.8796 of its deviation; 4096 draws know it within 3 %.
  EXPECT_NEAR(std::sqrt(squares / static_cast<double>(count)) / 0.01, 0.8796, 0.03);
}

// A linear layer with an update is the layer of the merged weight.
TEST(Lora, IsTheLayerOfTheMergedWeight) {
  const c10::NoGradGuard no_graph;
  const auto model = model_of({lora, "run.precision='float64'"});
  const auto body = model->body(1, 2), merged = model->body(1, 2);
  const std::string site = "roberta.encoder.layer.1.attention.self.query";
  at::Tensor a = body->named_parameters()[site + ".lora_A.weight"],
             b = body->named_parameters()[site + ".lora_B.weight"];
  EXPECT_EQ(largest_entry(b), 0) << "training begins with the network as it was";
  EXPECT_LE(largest_entry(a), 1 / std::sqrt(16.0));
  b.copy_(at::randn({16, 3}, at::kDouble));
  at::Tensor weight = merged->named_parameters()[site + ".weight"];
  weight += at::matmul(b, a) * (16.0 / 3);
  Batch batch;
  batch.sample_ids = {0, 1};
  const ForwardContext context{.batch = &batch, .training = false};
  const at::Tensor x = at::randn({2, 16, 16}, at::kDouble);
  EXPECT_LE(largest_entry(minus(body->forward(x, context), merged->forward(x, context))), 1e-12);
}

// ---- In a run

struct Case {
  std::string name, technique;
  std::function<bool(const std::string&)> trains;  // of a parameter of the model
};
void PrintTo(const Case& item, std::ostream* out) { *out << item.name; }

class Inserted : public testing::TestWithParam<Case> {
 protected:
  // A run of the plain model whose weights are what the others start from.
  static const std::string& base() {
    static const std::string folder = [] {
      const std::string made = new_folder();
      go_on(made, {"learning.rule=sum"}, 2);
      return find_checkpoint(made);
    }();
    return folder;
  }
  Overrides overrides() const { return {"learning.rule=sum", GetParam().technique, "run.weights='" + base() + "'"}; }
};

TEST_P(Inserted, TrainsNothingElse) {
  Overrides none = overrides();
  none.push_back("run.steps=0");
  const TestRun start = run_on_loopback(settings_for_test(none)), end = run_on_loopback(settings_for_test(overrides()));
  size_t trained = 0;
  for (const TensorEntry& tensor : start.weights->tensors()) {
    const auto before = start.weights->bytes(tensor), after = end.weights->bytes(*end.weights->find(tensor.name));
    const bool moved = !std::ranges::equal(before, after);
    EXPECT_EQ(moved, GetParam().trains(tensor.name)) << tensor.name;
    trained += moved;
  }
  EXPECT_GT(trained, 8U);
}

// What does not train is not in a checkpoint; it is found where the run started from.
TEST_P(Inserted, CheckpointsHoldWhatTrainsAndNameTheBase) {
  const std::string folder = new_folder();
  go_on(folder, overrides(), 3);
  const auto checkpoint = Checkpoint::open(find_checkpoint(folder));
  const auto whole = WeightsSet::open(find_checkpoint(folder));
  for (const TensorEntry& tensor : whole->tensors())
    EXPECT_EQ(checkpoint->find(tensor.name) != nullptr,
              GetParam().trains(tensor.name) || tensor.name == "lm_head.decoder.bias")
        << tensor.name;
  EXPECT_EQ(checkpoint->manifest().state.at(base_digest_state), weights_digest(*WeightsSet::open(base())));
  EXPECT_EQ(go_on(folder, overrides(), 0).digest, digest_of_one_piece(overrides()));
}

TEST_P(Inserted, ACheckpointWithoutItsBaseIsRefused) {
  const std::string folder = new_folder(), moved = new_folder();
  std::filesystem::copy(base(), moved + "/base", std::filesystem::copy_options::recursive);
  Overrides from = overrides();
  from.back() = "run.weights='" + moved + "/base'";
  go_on(folder, from, 3);
  std::filesystem::rename(moved + "/base", moved + "/elsewhere");
  try {
    WeightsSet::open(find_checkpoint(folder));
    FAIL() << "nothing was refused";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::bad_input);
    EXPECT_THAT(error.what(), testing::AllOf(HasSubstr(moved + "/base"), HasSubstr("holds only what was trained")));
  }
}

const auto of_the_heads = [](const std::string& name) { return !name.starts_with("roberta."); };

INSTANTIATE_TEST_SUITE_P(Kinds, Inserted,
                         testing::Values(Case{"adapters", adapters,
                                              [](const std::string& name) {
                                                const bool norm = name.find(".layer.") != std::string::npos &&
                                                                  name.find("LayerNorm") != std::string::npos;
                                                return of_the_heads(name) || norm ||
                                                       name.find(".adapters.") != std::string::npos;
                                              }},
                                         Case{"lora", lora,
                                              [](const std::string& name) {
                                                return of_the_heads(name) || name.find(".lora_") != std::string::npos;
                                              }}),
                         [](const auto& one) { return one.param.name; });

// Adapters in the upper layers alone: no gradient comes down to the stages below them.
TEST(Adapters, StagesBelowTheLowestRunForwardOnly) {
  for (const char* rule : {"learning.rule=global", "learning.rule=sum"}) {
    const RunSettings settings = settings_for_test({rule, "technique=[{name='adapters', size=2, layers=[2, 3]}]"});
    const TestRun run = run_on_loopback(settings);
    const Plan plan = make_plan(plan_request(settings, *make_model(settings, *make_dataset(settings))));
    std::vector<uint64_t> down(3, 0);
    for (const RankSummary& rank : run.summary.ranks)
      for (int k = 0; k < 3; ++k) down[k] += rank.counters.backward[k];
    EXPECT_EQ(down[0], 0U) << rule;
    EXPECT_EQ(down[1], 0U) << rule;
    EXPECT_GT(down[2], 0U) << rule;
    EXPECT_FALSE(plan.flows.stages[1].learns);
  }
}

std::string refusal(const Overrides& overrides) {
  try {
    settings_for_test(overrides);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::config);
    return error.what();
  }
  ADD_FAILURE() << "nothing was refused";
  return "";
}

TEST(Insertions, RefuseWhatDoesNotFit) {
  EXPECT_THAT(refusal({"technique=[{name='adapters', layers=[4]}]"}), HasSubstr("layers 0 to 3"));
  EXPECT_THAT(refusal({"technique=[{name='adapters', size=0}]"}), HasSubstr("technique[0].size"));
  EXPECT_THAT(refusal({"technique=[{name='adapters', adapter_name='a.b'}]"}), HasSubstr("adapter_name"));
  EXPECT_THAT(refusal({"technique=[{name='adapters'}]", "model.name=mlp", "model.dropout=0.0"}),
              HasSubstr("sub-layers"));
  EXPECT_THAT(refusal({"technique=[{name='lora', targets=['quary']}]"}), HasSubstr("did you mean \"query\"?"));
  EXPECT_THAT(refusal({"technique=[{name='lora', rank=17}]"}), HasSubstr("16 by 16"));
  EXPECT_THAT(refusal({"technique=[{name='lora', targets=[]}]"}), HasSubstr("targets"));
}

}  // namespace
}  // namespace interlock
