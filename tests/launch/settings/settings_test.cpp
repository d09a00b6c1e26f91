// The keys of a run: their defaults are those of configs/tiny.toml, and what does not fit is refused in words.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <regex>
#include <set>
#include <tuple>

#include "launch/settings/plans.h"
#include "runtime/core/likely_keys.h"
#include "tests/launch/settings/settings_for_test.h"

namespace interlock {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

int usable_cores() {
  cpu_set_t set;
  return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
}

// The plan that a run asks for; its model is made as `train` makes it.
PlanRequest request_of(const RunSettings& settings, size_t change = 0) {
  return plan_request(settings, *make_model(settings, *make_dataset(settings)), change);
}

// Every part asks for its keys, so the resolved texts hold all keys with the values used.
TEST(Settings, DefaultsAreThoseOfTheTinyConfig) {
  const Config file = Config::from_file(tiny);
  const Config bare = Config::from_text("[data]\npaths = ['/usr/include/c++']\n");
  check_settings(read_settings(file));
  check_settings(read_settings(bare));
  EXPECT_EQ(file.resolved_values(), bare.resolved_values());
  for (const char* key :
       {"tie_embeddings = false", "mask_rate = 0.15", "horizon = 2", "head = \"linear\"", "microbatch_size = 2",
        "partition = \"balanced\"", "clip_scope = \"auto\"", "warmup_steps = 10", "evaluate_sequences = 64"})
    EXPECT_THAT(bare.resolved(), HasSubstr(key));
}

TEST(Settings, PhasesAreThoseOfRuleAndBatch) {
  const RunSettings settings = with({"run.steps=9", "learning.change=[{at_step=5,rule='global'}]",
                                     "parallel.batch_change=[{at_step=3,microbatches=1},{at_step=5,microbatches=2}]"});
  std::vector<std::tuple<int64_t, size_t, int>> found;
  for (const RunPhase& phase : phases_of(settings)) found.emplace_back(phase.at_step, phase.rule, phase.microbatches);
  EXPECT_THAT(found, ElementsAre(std::tuple<int64_t, size_t, int>(1, 0, 4), std::tuple<int64_t, size_t, int>(3, 0, 1),
                                 std::tuple<int64_t, size_t, int>(5, 1, 2)));
  check_steps_of_changes(settings);
}

// Whoever is sent to a key by a word of another tool finds it explained there.
TEST(Settings, WordsOfOtherToolsLeadToKeysThatAreExplained) {
  std::ifstream file(tiny);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  for (const char* word : {"lr",
                           "batch_size",
                           "epochs",
                           "hidden_size",
                           "num_layers",
                           "warmup",
                           "grad_clip",
                           "scheduler",
                           "vocab_size",
                           "seq_length",
                           "val_data",
                           "output_dir",
                           "eval_steps",
                           "save_steps",
                           "bf16",
                           "gpus",
                           "gradient_checkpointing",
                           "init_from",
                           "layer_norm_eps",
                           "type_vocab_size",
                           "mlm_probability"}) {
    const std::string likely = likely_key(word), key = likely.substr(0, likely.find(' '));
    const size_t dot = key.find('.');
    ASSERT_NE(dot, std::string::npos) << word;
    const size_t section = text.find("\n[" + key.substr(0, dot) + "]\n");
    ASSERT_NE(section, std::string::npos) << key;
    const std::string lines = text.substr(section, text.find("\n[", section + 1) - section);
    EXPECT_TRUE(std::regex_search(lines, std::regex("\n#?" + key.substr(dot + 1) + " = "))) << key;
  }
}

// Whatever key a part asks for is described, as a line `key = ...` or `#key = ...`.
TEST(Settings, EveryKeyStandsInAConfigThatExplainsIt) {
  std::string text;
  for (const char* name : {"/tiny.toml", "/classify.toml", "/cifar-resnet.toml", "/gpt-tiny.toml"}) {
    std::ifstream file(std::string(CONFIGS) + name);
    text += std::string(std::istreambuf_iterator<char>(file), {});
  }
  std::set<std::string> keys;
  const auto ask = [&](const char* name, const std::vector<std::string>& overrides) {
    const RunSettings settings = read_settings(Config::from_file(std::string(CONFIGS) + name, overrides));
    check_settings(settings);
    for (const auto& [key, value] : settings.config.resolved_values()) keys.insert(key.substr(key.rfind('.') + 1));
  };
  ask("/classify.toml", {"parallel.batch_change=[{at_step=1,microbatches=2}]"});
  ask("/classify.toml", {"data.name=idx", "data.images=a", "data.labels=b"});
  ask("/cifar-resnet.toml", {"model.norm=group", "optimizer.nesterov=true"});
  ask("/cifar-resnet.toml", {"data.name=images", "data.labels=['a','b']"});
  ask("/gpt-tiny.toml", {});
  ask("/tiny.toml", {"data.name=tokens", "model.vocabulary=300", "tokenizer.path=nowhere", "data.weights=[1.0]",
                     "data.held_out_part=test", "data.test_paths=['a']"});
  ask("/tiny.toml", {"data.name=labelled", "data.header=true"});
  for (const char* optimizer : {"adamw", "lamb", "sgd"})
    ask("/tiny.toml", {std::string("optimizer.name=") + optimizer});
  for (const char* rule : {"chunked", "sum", "deep_supervision"})
    ask("/tiny.toml", {std::string("learning.rule=") + rule});
  ask("/tiny.toml", {"learning.rule=matrix", "learning.matrix=[[1,0,0,0],[0,1,0,0],[0,0,1,0],[0,0,0,1]]",
                     "learning.change=[{at_step=3,rule='global'}]", "optimizer.decay=polynomial"});
  for (const char* key : {"packing", "whole_word", "test_paths", "momentum", "trust_clip", "at_step", "window", "noise",
                          "images", "pair", "header", "patience", "milestones", "widths", "crop_padding",
                          "validation_path", "document_mask", "embedding_dropout"})
    EXPECT_TRUE(keys.contains(key)) << key << ": not asked for any more";
  for (const std::string& key : keys)
    EXPECT_TRUE(std::regex_search(text, std::regex("(\\n#?|[{ ])" + key + " = "))) << key;
  // Two sections have a key of this name: each has a line of its own.
  for (const std::string section : {"\n[model]\n", "\n[learning]\n"}) {
    const size_t begin = text.find(section), end = text.find("\n[", begin + 1);
    ASSERT_NE(begin, std::string::npos) << section;
    EXPECT_THAT(text.substr(begin, end - begin), HasSubstr("\n#frozen = ")) << section;
  }
}

// Points are made and not read: there is no other file of them.
TEST(Settings, TestPathsAreOfDataFromFiles) {
  const std::string said = refusal([] {
    check_settings(
        read_settings(Config::from_file(std::string(CONFIGS) + "/classify.toml", {"data.test_paths=['a']"})));
  });
  EXPECT_THAT(said, HasSubstr("data.test_paths: is for data that is read from files"));
  EXPECT_THAT(refused_whole({"data.held_out_part=half"}), HasSubstr("held_out_part"));
}

TEST(Settings, ResolvedConfigGivesTheSameSettings) {
  const Config first = Config::from_file(
      tiny, {"learning.rule=matrix", "learning.matrix=[[1,0.1],[0,1]]", "parallel.stages=2", "parallel.ranks=1",
             "learning.change=[{at_step=5,rule='global'}]", "parallel.partition=[3,5]"});
  check_settings(read_settings(first));
  const Config second = Config::from_text(first.resolved());
  const RunSettings again = read_settings(second);
  check_settings(again);
  EXPECT_EQ(second.resolved(), first.resolved());
  EXPECT_EQ(again.learning.rules.size(), 2u);
  EXPECT_THAT(again.parallel.partition, ElementsAre(3, 5));
}

TEST(Settings, ReadsWhatTheFileSays) {
  const RunSettings run = with({});
  EXPECT_EQ(run.model_name, "roberta");
  EXPECT_EQ(run.dataset_name, "text");
  ASSERT_EQ(run.learning.rules.size(), 1u);
  EXPECT_EQ(run.learning.rules[0].request.rule, "furthest");
  EXPECT_EQ(run.learning.rules[0].request.horizon, 2);
  EXPECT_EQ(run.learning.heads, HeadPolicy::needed);
  EXPECT_EQ(run.parallel.shape.stages, 4);
  EXPECT_EQ(run.parallel.shape.ranks, 4);
  EXPECT_EQ(run.parallel.shape.placement.name(), "contiguous");
  EXPECT_EQ(run.parallel.schedule, "auto");
  EXPECT_EQ(run.parallel.in_flight, 0);
  EXPECT_EQ(run.parallel.memory_mib, 0);
  EXPECT_FALSE(run.parallel.threads_by_machine);
  EXPECT_EQ(run.parallel.transport, "auto");
  EXPECT_EQ(run.parallel.threads, 1);
  EXPECT_TRUE(run.parallel.partition.empty());
  EXPECT_EQ(run.clip.norm, 1.0);
  EXPECT_EQ(run.steps, 20);
  EXPECT_EQ(run.seed, 1u);
  EXPECT_EQ(run.folder, "runs/tiny");
  EXPECT_EQ(run.precision, Precision::float32);
  const BatchShape batch = with({"parallel.replicas=3"}).parallel.batch_shape();
  EXPECT_EQ(batch.samples_per_step(), 3 * 4 * 2);
}

TEST(Settings, RanksDefaultToStages) {
  const Config config = Config::from_text("[parallel]\nstages = 8\n");
  EXPECT_EQ(read_settings(config).parallel.shape.ranks, 8);
}

TEST(Settings, RanksMustShareTheStagesEvenly) {
  EXPECT_THAT(refused({"parallel.ranks=3"}),
              testing::AllOf(HasSubstr("--set parallel.ranks"), HasSubstr("ranks = 3"), HasSubstr("1, 2, 4")));
  EXPECT_THAT(refused({"parallel.ranks=8"}), HasSubstr("only 4 stages"));
}

TEST(Settings, APlacementByHandIsTheRankOfEachStage) {
  const RunSettings run = with({"parallel.ranks=2", "parallel.placement=[0, 1, 1, 0]"});
  EXPECT_TRUE(run.parallel.shape.placement.is_by_hand());
  EXPECT_THAT(run.parallel.shape.placement.rank_of_stage(), ElementsAre(0, 1, 1, 0));
  EXPECT_THAT(run.parallel.shape.stages_of(0), ElementsAre(0, 3));
  // Ranks may hold unequally many, so they need not divide the stages.
  EXPECT_THAT(with({"parallel.ranks=3", "parallel.placement=[0, 0, 1, 2]"}).parallel.shape.stages_of(0),
              ElementsAre(0, 1));
  // The resolved config gives the same run again.
  EXPECT_EQ(read_settings(Config::from_text(run.config.resolved())).parallel.shape.placement,
            run.parallel.shape.placement);
}

TEST(Settings, AWrongPlacementByHandNamesKeyAndPlace) {
  const auto told = [](const std::string& list) { return refused({"parallel.ranks=2", "parallel.placement=" + list}); };
  EXPECT_THAT(told("[0, 1, 1]"), testing::AllOf(HasSubstr("--set parallel.placement"), HasSubstr("3 entries for 4")));
  EXPECT_THAT(told("[]"), HasSubstr("0 entries for 4"));
  EXPECT_THAT(told("[0, 0, 1, 2]"),
              testing::AllOf(HasSubstr("parallel.placement[3] = 2"), HasSubstr("the ranks are 0 to 1")));
  EXPECT_THAT(told("[0, -1, 1, 1]"), HasSubstr("parallel.placement[1] = -1"));
  EXPECT_THAT(told("[0, 0, 0, 0]"),
              testing::AllOf(HasSubstr("parallel.placement gives rank 1 no stage"), HasSubstr("--set")));
  EXPECT_THAT(told("[0, 1.5, 1, 1]"), HasSubstr("a list of integers"));
  EXPECT_THAT(told("3"), HasSubstr("a list of integers"));
  EXPECT_THAT(told("contigous"), HasSubstr("did you mean \"contiguous\"?"));
}

TEST(Settings, AScheduleMustFitThePlacement) {
  EXPECT_THAT(refused({"parallel.schedule=zbv", "parallel.ranks=2"}),
              testing::AllOf(HasSubstr("parallel.placement = contiguous"), HasSubstr("needs placement \"v\"")));
  EXPECT_THAT(refused({"parallel.schedule=zbv"}),
              testing::AllOf(HasSubstr("--set parallel.schedule"), HasSubstr("every rank must hold two stages")));
  EXPECT_THAT(refused({"parallel.schedule=interleaved", "parallel.ranks=2"}),
              HasSubstr("use placement \"interleaved\""));
  EXPECT_EQ(with({"parallel.schedule=zbv", "parallel.ranks=2", "parallel.placement=v"}).parallel.schedule, "zbv");
  EXPECT_EQ(with({"parallel.schedule=zbv", "parallel.ranks=2", "parallel.placement=[0, 1, 1, 0]"}).parallel.schedule,
            "zbv");
}

TEST(Settings, LimitsOfAScheduleAreChecked) {
  EXPECT_THAT(refused({"parallel.in_flight=-1"}),
              testing::AllOf(HasSubstr("--set parallel.in_flight"), HasSubstr("too small; the least is 0")));
  EXPECT_THAT(refused({"parallel.in_flight=8"}),
              testing::AllOf(HasSubstr("--set parallel.in_flight"), HasSubstr("from 0 (the schedule's choice) to 7")));
  EXPECT_THAT(refused({"parallel.in_flight=3", "parallel.schedule=wavefront"}),
              testing::AllOf(HasSubstr("--set parallel.in_flight"), HasSubstr("\"wavefront\" has no such limit")));
  EXPECT_EQ(request_of(with({"parallel.in_flight=7", "parallel.schedule=zero_bubble"})).in_flight, 7);
  EXPECT_THAT(refused({"parallel.memory_mib=-1"}), HasSubstr("too small; the least is 0"));
  EXPECT_EQ(with({"parallel.memory_mib=4096"}).parallel.memory_mib, 4096);
}

TEST(Settings, SizesAreAtLeastOne) {
  for (const char* key : {"stages", "ranks", "replicas", "microbatches", "microbatch_size"})
    for (const char* value : {"=0", "=-1"})
      EXPECT_THAT(refused({std::string("parallel.") + key + value}), HasSubstr("too small; the least is 1"))
          << key << value;
  EXPECT_THAT(refused({"run.steps=-1"}), HasSubstr("too small"));
  EXPECT_THAT(refused({"run.seed=-1"}), HasSubstr("too small"));
  EXPECT_THAT(refused({"run.evaluate_sequences=0"}), HasSubstr("too small"));
  EXPECT_THAT(refused({"optimizer.clip=-0.5"}), HasSubstr("too small"));
  EXPECT_THAT(refused({"parallel.stages=1000000"}), HasSubstr("too large"));
  EXPECT_THAT(refused({"run.folder=''"}), HasSubstr("run.folder: is empty"));
}

TEST(Settings, WordsAreCheckedAgainstWhatExists) {
  EXPECT_THAT(refused({"parallel.schedule=wavefrnt"}), HasSubstr("did you mean \"wavefront\"?"));
  EXPECT_THAT(refused({"parallel.transport=tcp"}), HasSubstr("unknown transport"));
  EXPECT_THAT(refused({"parallel.placement=spread"}), HasSubstr("unknown placement"));
  EXPECT_THAT(refused({"learning.rule=furthst"}), HasSubstr("did you mean \"furthest\"?"));
  EXPECT_THAT(refused({"learning.heads=some"}), HasSubstr("unknown heads"));
  EXPECT_THAT(refused({"optimizer.name=adam"}), HasSubstr("did you mean \"adamw\"?"));
  EXPECT_THAT(refused({"optimizer.clip_scope=rank"}), HasSubstr("unknown clip_scope"));
  EXPECT_THAT(refused({"model.name=robertas"}), HasSubstr("did you mean \"roberta\"?"));
  EXPECT_THAT(refused({"data.name=txt"}), HasSubstr("did you mean \"text\"?"));
  EXPECT_THAT(refused({"run.precision=float16"}), HasSubstr("unknown precision"));
}

TEST(Settings, ThreadsZeroSharesTheCores) {
  const int cores = usable_cores();
  EXPECT_EQ(with({"parallel.threads=0", "parallel.ranks=1"}).parallel.threads, cores);
  EXPECT_EQ(with({"parallel.threads=0"}).parallel.threads, std::max(1, cores / 4));
  EXPECT_EQ(with({"parallel.threads=3"}).parallel.threads, 3);
}

// Four ranks: alone on its machine a rank has all cores; with another it has half of them, or the one it is bound to.
TEST(Settings, ThreadsZeroCountsTheRanksOfThisMachineOnly) {
  const int cores = usable_cores();
  setenv("OMPI_COMM_WORLD_RANK", "1", 1);
  setenv("OMPI_COMM_WORLD_SIZE", "4", 1);
  setenv("OMPI_COMM_WORLD_LOCAL_SIZE", "1", 1);
  EXPECT_EQ(with({"parallel.threads=0"}).parallel.threads, cores);
  setenv("OMPI_COMM_WORLD_LOCAL_SIZE", "2", 1);
  setenv("INTERLOCK_SUPERVISED", "1", 1);
  EXPECT_EQ(with({"parallel.threads=0"}).parallel.threads, std::max(1, cores / 2));
  unsetenv("INTERLOCK_SUPERVISED");
  cpu_set_t before, one;
  ASSERT_EQ(sched_getaffinity(0, sizeof before, &before), 0);
  CPU_ZERO(&one);
  for (int cpu = 0; CPU_COUNT(&one) == 0; ++cpu)
    if (CPU_ISSET(cpu, &before)) CPU_SET(cpu, &one);
  ASSERT_EQ(sched_setaffinity(0, sizeof one, &one), 0);
  EXPECT_EQ(with({"parallel.threads=0"}).parallel.threads, 1);
  sched_setaffinity(0, sizeof before, &before);
  for (const char* name : {"RANK", "SIZE", "LOCAL_SIZE"}) unsetenv((std::string("OMPI_COMM_WORLD_") + name).c_str());
}

TEST(Settings, ChangesInheritWhatTheyLeaveOut) {
  const RunSettings run =
      with({"learning.horizon=3", "learning.change=[{at_step=5, rule='sum'}, {at_step=9, horizon=1}]"});
  ASSERT_EQ(run.learning.rules.size(), 3u);
  EXPECT_EQ(run.learning.rules[1].at_step, 5);
  EXPECT_EQ(run.learning.rules[1].request.rule, "sum");
  EXPECT_EQ(run.learning.rules[1].request.horizon, 3);
  EXPECT_EQ(run.learning.rules[2].at_step, 9);
  EXPECT_EQ(run.learning.rules[2].request.rule, "sum");
  EXPECT_EQ(run.learning.rules[2].request.horizon, 1);
}

TEST(Settings, ChangesComeInOrderAndAfterTheStart) {
  EXPECT_THAT(refused({"learning.change=[{at_step=1}]"}), HasSubstr("the least is 2"));
  EXPECT_THAT(refused({"learning.change=[{at_step=5},{at_step=5}]"}), HasSubstr("does not come after step 5"));
  EXPECT_THAT(refused({"learning.change=[{rule='sum'}]"}), HasSubstr("at_step: is needed"));
  EXPECT_THAT(refused_whole({"learning.change=[{at_step=5,head='block'}]"}),
              HasSubstr("learning.change[0].head: unknown key"));
  EXPECT_THAT(refused_whole({"learning.change=[{at_step=5,horizon=9}]"}),
              testing::AllOf(HasSubstr("learning.change[0]"), HasSubstr("horizon = 9"),
                             HasSubstr("largest that makes sense is 4")));
}

TEST(Settings, KeysOfOtherRulesAreNotChecked) {
  const RunSettings run =
      with({"learning.rule=local", "learning.horizon=99", "learning.window=-3", "learning.matrix=[[7]]"});
  EXPECT_EQ(request_of(run).rule.name, "local");
}

TEST(Settings, RulesThatDoNotFitNameThePlaceOfTheKey) {
  EXPECT_THAT(refused_whole({"learning.horizon=5"}), testing::AllOf(testing::StartsWith("--set learning.horizon = 5"),
                                                                    HasSubstr("largest that makes sense is 4")));
  EXPECT_THAT(refused_whole({"learning.horizon=0"}), HasSubstr("horizon = 0"));
  EXPECT_THAT(refused_whole({"learning.rule=sum", "parallel.stages=1", "parallel.ranks=1"}),
              testing::ContainsRegex("tiny.toml:[0-9]+: learning.horizon = 2 does not fit"));
  EXPECT_THAT(refused_whole({"learning.change=[{at_step=5,horizon=9}]"}),
              testing::StartsWith("--set learning.change[0].horizon = 9"));
  EXPECT_THAT(
      refused_whole({"learning.rule=global", "learning.change=[{at_step=5,rule='chunked'}]", "learning.window=9"}),
      testing::StartsWith("--set learning.change[0]: --set learning.window = 9"));
  const char* later = "learning.change=[{at_step=5,horizon=9},{at_step=7,rule='sum'}]";
  EXPECT_THAT(refused_whole({"learning.rule=local", later}),
              testing::StartsWith("--set learning.change[1]: --set learning.change[0].horizon = 9"));
  EXPECT_THAT(refused({"parallel.stages=3"}), testing::ContainsRegex("tiny.toml:[0-9]+: parallel.ranks = 4"));
  EXPECT_THAT(refused_whole({"learning.head=huge"}), HasSubstr("learning.head"));
}

TEST(Settings, MoreStagesThanBlocksIsRefused) {
  EXPECT_THAT(refused_whole({"parallel.stages=16", "parallel.ranks=16"}), HasSubstr("8 block"));
}

TEST(Settings, UnknownKeysAreRefusedWithTheNearest) {
  EXPECT_THAT(refused_whole({"learning.horizn=2"}), HasSubstr("did you mean \"horizon\"?"));
  EXPECT_THAT(refused_whole({"optimizer.beta3=2"}), HasSubstr("optimizer.beta3: unknown key"));
  EXPECT_THAT(refused_whole({"model.layer=2"}), HasSubstr("did you mean \"layers\"?"));
}

TEST(PlanRequestOfSettings, NormFollowsScopeAndMatrix) {
  const auto norm_over_model = [](std::vector<std::string> overrides) {
    return request_of(with(overrides)).norm_over_model;
  };
  EXPECT_FALSE(norm_over_model({}));
  EXPECT_TRUE(norm_over_model({"learning.rule=global"}));
  EXPECT_TRUE(
      norm_over_model({"learning.horizon=4"}));  // furthest(4) of 4 stages is global: the matrix decides, not the name
  EXPECT_FALSE(norm_over_model({"learning.rule=global", "optimizer.clip=0"}));
  EXPECT_FALSE(norm_over_model({"learning.rule=global", "optimizer.clip_scope=stage"}));
  EXPECT_TRUE(norm_over_model({"learning.rule=local", "optimizer.clip_scope=model"}));
  EXPECT_FALSE(norm_over_model({"learning.rule=local", "optimizer.clip_scope=model", "optimizer.clip=0"}));
}

TEST(PlanRequestOfSettings, TakesTheAskedChange) {
  const RunSettings run = with({"learning.change=[{at_step=5, rule='global'}]", "learning.heads=all",
                                "parallel.schedule=gpipe", "parallel.ranks=2", "parallel.placement=interleaved"});
  EXPECT_EQ(request_of(run).rule.name, "furthest(2)");
  const PlanRequest later = request_of(run, 1);
  EXPECT_EQ(later.rule.name, "global");
  EXPECT_EQ(later.heads, HeadPolicy::all);
  EXPECT_EQ(later.schedule, "gpipe");
  EXPECT_EQ(later.shape.ranks, 2);
  EXPECT_EQ(later.shape.placement.name(), "interleaved");
}

}  // namespace
}  // namespace interlock
