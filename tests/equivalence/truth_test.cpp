// The engine against plain autograd: any rule, schedule, placement, microbatches and replicas give the parameters that
// a single-process program of the same rule gives.

#include <gtest/gtest.h>

#include "tests/support/reference.h"
#include "tests/support/run_for_test.h"

namespace interlock {
namespace {

struct Case {
  std::string name;
  std::vector<std::string> overrides;
};

void PrintTo(const Case& item, std::ostream* out) { *out << item.name; }

class Truth : public testing::TestWithParam<Case> {};

// Largest difference of any parameter between a run and the truth, and the name it occurs in. Both must have the same
// names.
std::pair<double, std::string> largest_difference(const TestRun& run, const ReferenceResult& truth) {
  std::pair<double, std::string> largest{0.0, ""};
  for (const auto& [name, value] : truth.parameters) {
    EXPECT_NE(run.weights->find(name), nullptr) << name << " is missing from the weights";
    if (run.weights->find(name) == nullptr) continue;
    const double difference = largest_entry(minus(tensor_of(*run.weights, name), value));
    if (!(difference <= largest.first)) largest = {difference, name};
  }
  return largest;
}

TEST_P(Truth, ParametersAfterSeveralStepsInDoublePrecision) {
  std::vector<std::string> overrides = GetParam().overrides;
  overrides.push_back("run.precision='float64'");
  overrides.push_back("run.evaluate_every=2");  // in the middle, and at the end
  const RunSettings settings = settings_for_test(overrides);
  const TestRun run = run_on_loopback(settings);
  const ReferenceResult truth = train_reference(settings);
  // Sums are ordered differently; three steps in double keep 1e-10 of values of order one, even through Adam's
  // division.
  const auto [difference, name] = largest_difference(run, truth);
  EXPECT_LE(difference, 1e-10) << name;
  ASSERT_EQ(run.losses.size(), truth.losses.size());
  for (size_t step = 0; step < truth.losses.size(); ++step) EXPECT_NEAR(run.losses[step], truth.losses[step], 1e-10);
  for (size_t step = 0; step < truth.losses.size(); ++step) {
    EXPECT_NEAR(run.metrics[step].gradient_norm, truth.gradient_norms[step], 1e-9);
    ASSERT_EQ(run.metrics[step].losses.size(), truth.head_losses[step].size());
    for (const auto& [head, loss] : truth.head_losses[step])
      EXPECT_NEAR(run.metrics[step].losses.at(head), loss, 1e-10);
    for (const auto& [stage, norm] : truth.stage_norms[step])
      EXPECT_NEAR(run.metrics[step].gradient_norms.at(stage), norm, 1e-9) << stage;
  }
  const auto& held_out = run.metrics.back().validation_losses;
  ASSERT_EQ(held_out.size(), truth.validation_losses.size());
  for (const auto& [head, loss] : truth.validation_losses) EXPECT_NEAR(held_out.at(head), loss, 1e-10) << head;
  ASSERT_TRUE(run.summary.validation_loss.has_value());
  EXPECT_NEAR(*run.summary.validation_loss, truth.validation_loss, 1e-10);
  // Nothing beyond the truth's parameters but the decoder bias under its second name.
  EXPECT_LE(run.weights->tensors().size(), truth.parameters.size() + 1);
}

TEST_P(Truth, GradientsInSinglePrecision) {
  // One step of plain SGD at rate 1e3: what is left of start - end is the gradient, its rounding far below its size. Of
  // a readout that looks at one token the gradients of keys are a hundred times smaller, and so the rate is larger.
  // Of adapters in a pre-norm network, whose sums are not normed, they are as small.
  const bool small = GetParam().name.starts_with("labelled") || GetParam().name.starts_with("pre_norm_adapters");
  const double rate = small ? 1e5 : 1e3;
  std::vector<std::string> overrides = GetParam().overrides;
  overrides.push_back(message("optimizer.learning_rate=", small ? "1e5" : "1e3"));
  for (const char* more : {"optimizer.name='sgd'", "optimizer.weight_decay=0.0", "optimizer.clip=0.0",
                           "optimizer.warmup_steps=0", "optimizer.decay='constant'", "run.steps=1"})
    overrides.emplace_back(more);
  const RunSettings settings = settings_for_test(overrides);
  const TestRun run = run_on_loopback(settings);
  const ReferenceResult truth = train_reference(settings);
  overrides.back() = "run.steps=0";
  const TestRun start = run_on_loopback(settings_for_test(overrides));
  for (const auto& [name, end] : truth.parameters) {
    const at::Tensor before = tensor_of(*start.weights, name);
    const at::Tensor expected = minus(before, end), got = minus(before, tensor_of(*run.weights, name));
    // 1e-5 of the largest entry: some hundred float32 roundings. The key bias has a true gradient of zero (softmax does
    // not see a shift of all scores of a query), so rounding is all there is: bounded by the rate times 1e-7.
    const bool key_bias = name.ends_with("key.bias");
    const double bound = key_bias ? rate * 1e-7 : 1e-5 * largest_entry(expected) + 1e-12;
    EXPECT_LE(largest_entry(minus(expected, got)), bound) << name;
  }
}

std::vector<Case> cases() {
  std::vector<Case> all;
  const std::vector<std::pair<std::string, std::vector<std::string>>> rules = {
      {"local", {"learning.rule=local"}},
      {"furthest2", {"learning.rule=furthest", "learning.horizon=2"}},
      {"furthest3", {"learning.rule=furthest", "learning.horizon=3"}},
      {"sum2", {"learning.rule=sum", "learning.horizon=2"}},
      {"sum3", {"learning.rule=sum", "learning.horizon=3"}},
      {"global", {"learning.rule=global"}},
      {"deep", {"learning.rule=deep_supervision", "learning.weight=0.3"}},
      {"chunked", {"learning.rule=chunked", "learning.window=2"}},
      {"matrix", {"learning.rule=matrix", "learning.matrix=[[0.5,1,0,2],[0,0,1,0.25],[0,0,0,1],[0,0,0,1]]"}},
      {"frozen", {"learning.rule=sum", "learning.horizon=2", "learning.frozen=[1]"}},
  };
  const std::vector<std::pair<std::string, std::vector<std::string>>> shapes = {
      {"each_rank_one_stage", {"parallel.ranks=4"}},
      {"two_ranks_interleaved_gpipe",
       {"parallel.ranks=2", "parallel.placement=interleaved", "parallel.schedule=gpipe"}},
      {"two_replicas", {"parallel.ranks=2", "parallel.replicas=2", "parallel.microbatches=2"}},
  };
  for (const auto& [rule, rule_keys] : rules)
    for (const auto& [shape, shape_keys] : shapes) {
      Case one{rule + "_" + shape, rule_keys};
      one.overrides.insert(one.overrides.end(), shape_keys.begin(), shape_keys.end());
      all.push_back(one);
    }
  // The lowest stage trains nothing, the second its matrices alone.
  const std::string lower = "model.frozen=['roberta.embeddings.*', '*.layer.0.*', '*.layer.1.*.bias']";
  for (const size_t rule : {0U, 1U, 3U, 5U, 6U})
    for (const auto& [shape, shape_keys] : shapes) {
      Case one{"frozen_lower_" + rules[rule].first + "_" + shape, rules[rule].second};
      one.overrides.insert(one.overrides.end(), shape_keys.begin(), shape_keys.end());
      one.overrides.push_back(lower);
      all.push_back(one);
    }
  all.push_back({"frozen_bodies", {"learning.rule=global", "model.frozen=['roberta.*']"}});
  all.push_back({"frozen_bodies_all_heads",
                 {"learning.rule=local", "learning.heads=all", "model.frozen=['roberta.*']", "parallel.replicas=2"}});
  all.push_back({"frozen_readout", {"learning.rule=sum", "model.frozen=['lm_head.*']", "parallel.ranks=2"}});
  all.push_back({"frozen_local_heads",
                 {"learning.rule=sum", "learning.heads=all", "model.frozen=['heads.*']", "parallel.ranks=2"}});
  all.push_back({"frozen_lower_and_local_heads",
                 {"learning.rule=sum", "learning.heads=all", "parallel.replicas=2",
                  "model.frozen=['heads.*', 'roberta.embeddings.*', '*.layer.0.*']"}});
  all.push_back({"frozen_middle_recomputed",
                 {"learning.rule=deep_supervision", "run.recompute=block",
                  "model.frozen=['*.layer.1.*', '*.0.*.dense.*']", "parallel.ranks=2"}});
  all.push_back({"frozen_biases_state_shared_out",
                 {"learning.rule=global", "run.recompute=stage", "model.frozen=['*.bias']", "parallel.replicas=2",
                  "parallel.shard_optimizer=true"}});
  all.push_back({"frozen_and_a_frozen_stage",
                 {"learning.rule=sum", "learning.frozen=[2]", "model.frozen=['*.layer.1.*', '*.query.*']"}});
  all.push_back({"frozen_readout_read_by_all",
                 {"learning.rule=sum", "learning.head=shared_readout", "learning.refresh_every=1",
                  "model.frozen=['lm_head.d*']", "run.steps=5"}});
  all.push_back(
      {"frozen_rule_changes",
       {"learning.rule=local", "learning.change=[{at_step=2, rule='global'}, {at_step=3, rule='sum'}]", lower}});
  all.push_back(
      {"frozen_mlp", {"model.name=mlp", "learning.rule=sum", "model.frozen=['mlp.input.*', 'mlp.layer.0.*']"}});
  for (const auto& [shape, shape_keys] : shapes) {
    Case table{"tied_frozen_table_" + shape,
               {"learning.rule=sum", "model.tie_embeddings=true", "model.frozen=['*.word_embeddings.weight']"}};
    // Of the lowest body the table alone trains: it follows the body's losses as well as the readout's.
    Case alone{
        "tied_table_alone_" + shape,
        {"learning.rule=sum", "model.tie_embeddings=true",
         "model.frozen=['*.position_embeddings.*', '*.token_type*', '*.embeddings.LayerNorm.*', '*.layer.0.*']"}};
    for (Case* one : {&table, &alone}) {
      one->overrides.insert(one->overrides.end(), shape_keys.begin(), shape_keys.end());
      all.push_back(*one);
    }
  }
  all.push_back({"block_heads", {"learning.rule=sum", "learning.head=block", "parallel.microbatches=1"}});
  all.push_back({"clip_per_stage_bites", {"learning.rule=local", "optimizer.clip=0.01"}});
  all.push_back({"clip_per_model_bites", {"learning.rule=global", "optimizer.clip=0.01", "parallel.ranks=2"}});
  all.push_back(
      {"clip_per_model_under_short_horizon",
       {"learning.rule=furthest", "optimizer.clip=0.01", "optimizer.clip_scope=model", "parallel.replicas=2"}});
  all.push_back({"all_heads", {"learning.rule=furthest", "learning.horizon=3", "learning.heads=all"}});
  all.push_back({"rule_changes",
                 {"learning.rule=local", "learning.change=[{at_step=2, rule='global'}, {at_step=3, rule='sum'}]"}});
  all.push_back({"half_blocks", {"learning.rule=sum", "parallel.unit=half_block", "parallel.partition=[1,2,2,3]"}});
  all.push_back({"half_blocks_block_heads_recomputed",
                 {"learning.rule=furthest", "learning.head=block", "parallel.unit=half_block",
                  "parallel.partition=[3,1,1,3]", "run.recompute=block", "parallel.ranks=2"}});
  all.push_back(
      {"half_blocks_frozen_tied",
       {"learning.rule=sum", "parallel.unit=half_block", "parallel.partition=[1,1,3,3]", "parallel.replicas=2",
        "model.tie_embeddings=true", "model.frozen=['*.layer.0.attention.*', '*.layer.0.output.*']"}});
  all.push_back({"cut_for_the_rule",
                 {"model.layers=6", "learning.rule=sum", "parallel.partition=balanced_for_rule", "parallel.ranks=2"}});
  all.push_back({"momentum", {"optimizer.name=sgd", "optimizer.momentum=0.9", "learning.rule=sum"}});
  all.push_back(
      {"uneven_cut", {"model.layers=6", "parallel.partition=[1,3,1,1]", "learning.rule=sum", "parallel.ranks=2"}});
  all.push_back({"one_stage", {"parallel.stages=1", "parallel.ranks=1", "learning.rule=global"}});
  all.push_back(
      {"fewer_held_out_samples_than_replicas",
       {"learning.rule=sum", "parallel.replicas=3", "parallel.microbatch_size=1", "run.evaluate_sequences=2"}});
  const std::vector<std::pair<std::string, std::vector<std::string>>> tied_rules = {
      rules[0], rules[1], rules[3], rules[5], {"frozen_first", {"learning.rule=sum", "learning.frozen=[0]"}}};
  for (const auto& [rule, rule_keys] : tied_rules)
    for (const auto& [shape, shape_keys] : shapes) {
      Case one{"tied_" + rule + "_" + shape, rule_keys};
      one.overrides.insert(one.overrides.end(), shape_keys.begin(), shape_keys.end());
      one.overrides.push_back("model.tie_embeddings=true");
      all.push_back(one);
    }
  all.push_back({"tied_clip_bites", {"learning.rule=local", "model.tie_embeddings=true", "optimizer.clip=0.01"}});
  all.push_back({"tied_no_clip", {"learning.rule=sum", "model.tie_embeddings=true", "optimizer.clip=0.0"}});
  all.push_back({"tied_one_stage",
                 {"parallel.stages=1", "parallel.ranks=1", "learning.rule=global", "model.tie_embeddings=true"}});
  for (const char* refresh : {"1", "2"})
    for (const char* tied : {"true", "false"})
      all.push_back({message("shared_readout_every_", refresh, "_tied_", tied),
                     {"learning.rule=sum", "learning.head=shared_readout", message("learning.refresh_every=", refresh),
                      message("model.tie_embeddings=", tied), "run.steps=5", "parallel.ranks=2"}});
  all.push_back({"batch_ramp",
                 {"learning.rule=sum", "parallel.replicas=2", "parallel.ranks=2",
                  "parallel.batch_change=[{at_step=1, microbatches=1}, {at_step=2, microbatches=3}]"}});
  all.push_back({"recompute_block", {"learning.rule=sum", "run.recompute=block", "parallel.ranks=2"}});
  all.push_back({"recompute_stage", {"learning.rule=sum", "run.recompute=stage", "parallel.ranks=2"}});
  // Every other layer is left out of a microbatch, and whole stages are.
  const std::string drop = "technique=[{name='layer_drop', rate=0.5}]";
  for (const size_t rule : {0U, 1U, 3U, 5U, 6U})
    for (const auto& [shape, shape_keys] : shapes) {
      Case one{"layer_drop_" + rules[rule].first + "_" + shape, rules[rule].second};
      one.overrides.insert(one.overrides.end(), shape_keys.begin(), shape_keys.end());
      one.overrides.push_back(drop);
      all.push_back(one);
    }
  const std::string adapters = "technique=[{name='adapters', size=3, deviation=0.1}]",
                    pfeiffer = "technique=[{name='adapters', size=3, deviation=0.1, variant='pfeiffer'}]",
                    lora = "technique=[{name='lora', rank=2, dropout=0.1, targets=['query', 'output.dense']}]";
  for (const auto& [name, technique] : {std::pair{"adapters", adapters}, {"pfeiffer", pfeiffer}, {"lora", lora}})
    for (const auto& [shape, shape_keys] : shapes) {
      Case one{std::string(name) + "_" + shape, {"learning.rule=sum", technique}};
      one.overrides.insert(one.overrides.end(), shape_keys.begin(), shape_keys.end());
      all.push_back(one);
      one.name += "_half_blocks_recomputed_global";
      one.overrides.insert(one.overrides.end(), {"learning.rule=global", "parallel.unit=half_block",
                                                 "parallel.partition=[1,2,2,3]", "run.recompute=block"});
      all.push_back(one);
    }
  all.push_back({"lora_tied_layer_drop",
                 {"learning.rule=sum", "model.tie_embeddings=true", "run.recompute=stage",
                  "technique=[{name='lora', rank=2}, {name='layer_drop', rate=0.3}]"}});
  all.push_back({"layer_drop_half_blocks_recomputed",
                 {"learning.rule=sum", "parallel.unit=half_block", "parallel.partition=[1,2,2,3]",
                  "run.recompute=block", "parallel.ranks=2", drop}});
  all.push_back({"layer_drop_frozen_tied_stage_recomputed",
                 {"learning.rule=global", "model.layers=8", "run.recompute=stage", "model.tie_embeddings=true",
                  "model.frozen=['*.layer.3.*', '*.bias']", drop}});
  all.push_back({"layer_drop_batch_ramp",
                 {"learning.rule=sum", "parallel.replicas=2", "parallel.ranks=2", drop,
                  "parallel.batch_change=[{at_step=1, microbatches=1}, {at_step=2, microbatches=3}]"}});
  const std::string progressive = "technique=[{name='progressive_layer_drop', theta=0.3, gamma=5.0}]";
  for (const auto& [shape, shape_keys] : shapes) {
    Case one{"progressive_layer_drop_" + shape, {"learning.rule=sum", "model.norm=pre", progressive}};
    one.overrides.insert(one.overrides.end(), shape_keys.begin(), shape_keys.end());
    all.push_back(one);
  }
  all.push_back({"progressive_layer_drop_gpt",
                 {"model.name=gpt", "objective.name=causal", "learning.rule=sum", progressive, "parallel.ranks=2"}});
  all.push_back({"progressive_layer_drop_half_blocks_recomputed",
                 {"learning.rule=global", "model.norm=pre", progressive, "parallel.unit=half_block",
                  "parallel.partition=[1,3,3,1]", "run.recompute=block"}});
  all.push_back({"layer_drop_mlp", {"model.name=mlp", "learning.rule=sum", drop}});
  // Microbatches are sorted by length, the truth takes samples as they come; tables of attention drop by their size.
  const std::vector<std::pair<std::string, std::vector<std::string>>> labelled = {
      {"classes_global", {"learning.rule=global", "parallel.ranks=2"}},
      {"classes_local_replicas", {"learning.rule=local", "parallel.replicas=2", "parallel.ranks=2"}},
      {"classes_sum_block_heads", {"learning.rule=sum", "learning.head=block", "parallel.ranks=2"}},
      {"classes_read_by_all", {"learning.rule=sum", "learning.head=shared_readout", "learning.refresh_every=1"}},
      {"classes_recomputed", {"learning.rule=furthest", "run.recompute=block", "parallel.unit=half_block"}},
      {"scores_sum", {"objective.name=regression", "data.label=score", "learning.rule=sum", "parallel.ranks=2"}},
      {"masked_texts", {"objective.name=masked", "learning.rule=sum"}},
      {"reconstruction_classes",
       {"learning.rule=local", "learning.head=reconstruction", "parallel.stages=2", "parallel.ranks=2"}},
      {"reconstruction_recomputed",
       {"learning.rule=local", "learning.head=reconstruction", "run.recompute=block", "parallel.replicas=2"}},
      {"reconstruction_whole_stages_recomputed",
       {"learning.rule=sum", "learning.head=reconstruction", "run.recompute=stage", "parallel.ranks=2"}},
  };
  for (const auto& [name, keys] : labelled) {
    Case one{"labelled_" + name, {"data.name=labelled", "model.attention_dropout=0"}};
    one.overrides.insert(one.overrides.end(), keys.begin(), keys.end());
    all.push_back(one);
  }
  all.push_back({"reconstruction_masked",
                 {"learning.rule=local", "learning.head=reconstruction", "parallel.stages=2", "parallel.ranks=2"}});
  const std::vector<std::pair<std::string, std::vector<std::string>>> causal = {
      {"local", {"learning.rule=local", "parallel.ranks=2", "parallel.replicas=2"}},
      {"furthest2", {"learning.rule=furthest", "parallel.ranks=2"}},
      {"sum2_block_heads_recomputed",
       {"learning.rule=sum", "learning.head=block", "run.recompute=block", "parallel.ranks=2"}},
      {"global_tied", {"learning.rule=global", "model.tie_embeddings=true", "parallel.schedule=gpipe"}},
      {"read_by_all_tied",
       {"learning.rule=sum", "learning.head=shared_readout", "learning.refresh_every=1", "model.tie_embeddings=true"}},
      {"documents", {"learning.rule=sum", "objective.document_mask=true", "parallel.ranks=2"}},
      {"half_blocks", {"learning.rule=sum", "parallel.unit=half_block", "parallel.partition=[1,2,2,3]"}},
      {"layer_drop", {"learning.rule=sum", drop}},
      {"lora", {"learning.rule=sum", "technique=[{name='lora', rank=2, targets=['c_attn', 'c_fc']}]"}},
  };
  for (const auto& [name, keys] : causal) {
    Case one{"gpt_" + name, {"model.name=gpt", "objective.name=causal"}};
    one.overrides.insert(one.overrides.end(), keys.begin(), keys.end());
    all.push_back(one);
  }
  all.push_back({"pre_norm_sum", {"model.norm=pre", "learning.rule=sum", "parallel.ranks=2"}});
  all.push_back({"pre_norm_adapters_half_blocks",
                 {"model.norm=pre", "learning.rule=global", "parallel.unit=half_block", "run.recompute=block",
                  "parallel.partition=[1,2,2,3]", adapters}});
  all.push_back({"mlp_on_spirals", {"model.name=mlp", "learning.rule=sum", "learning.horizon=2"}});
  return all;
}

INSTANTIATE_TEST_SUITE_P(Grid, Truth, testing::ValuesIn(cases()), [](const auto& one) { return one.param.name; });

}  // namespace
}  // namespace interlock
