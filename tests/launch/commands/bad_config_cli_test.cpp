// What is wrong with a config, or does not fit together, ends with exit code 64 and a sentence that names it, before
// any rank starts and before a run folder is made.
#include <gmock/gmock.h>

#include "tests/support/small_project.h"

namespace interlock {
namespace {

using testing::HasSubstr;
using testing::Not;

class BadConfig : public SmallProject {
 protected:
  // A run with these overrides is refused, and the last words of it say all of `words`.
  void expect_refused(const Words& overrides, const Words& words) {
    const CommandResult result = train(overrides);
    expect_failure(result, 64, words);
    EXPECT_THAT(result.all, Not(HasSubstr("rank 0:"))) << "a rank was started for it";
    EXPECT_FALSE(std::filesystem::exists(path("run")));
  }
};

TEST_F(BadConfig, TheConfigItselfIsGood) { expect_done(train_threads({"run.steps=1"})); }

TEST_F(BadConfig, UnknownKeyOfTheFileIsNamedWithItsLineAndTheNearest) {
  write("config.toml", "[learning]\nrule = \"sum\"\nhorizn = 2\n");
  expect_refused({}, {"config.toml:3", "learning.horizn", "did you mean \"horizon\"?"});
}

TEST_F(BadConfig, UnknownSection) { expect_refused({"optimiser.name=sgd"}, {"optimiser", "optimizer"}); }

TEST_F(BadConfig, UnknownKeyOnTheCommandLine) {
  expect_refused({"parallel.microbatchsize=2"}, {"--set parallel.microbatchsize", "microbatch_size"});
}

TEST_F(BadConfig, WrongType) {
  expect_refused({"model.layers='four'"}, {"model.layers", "an integer is expected", "\"four\""});
}

TEST_F(BadConfig, WrongTypeInTheFile) {
  write("config.toml", "[data]\npaths = \"corpus\"\n");
  expect_refused({}, {"config.toml:2", "data.paths", "a list of strings"});
}

TEST_F(BadConfig, NotToml) {
  write("config.toml", "[model]\nlayers = = 4\n");
  expect_refused({}, {"config.toml:2", "not valid TOML"});
}

TEST_F(BadConfig, ACompressedFileIsCalledThat) {
  const std::string gzip("\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03", 10);
  write("packed.toml", gzip);
  expect_failure(interlock({"plan", "packed.toml"}), 64,
                 {"it is compressed (gzip); unpack it first: gunzip -k packed.toml"});
  write("packed.safetensors", gzip);
  expect_failure(interlock({"inspect", "packed.safetensors"}), 65,
                 {"packed.safetensors: is compressed (gzip); unpack it first"});
}

TEST_F(BadConfig, MissingConfigFile) {
  expect_failure(interlock({"train", "nowhere.toml"}), 64, {"nowhere.toml", "No such file"});
}

TEST_F(BadConfig, MoreStagesThanBlocks) {
  expect_refused({"model.layers=3"}, {"parallel.stages = 4", "3 blocks", "1 to 3"});
}

TEST_F(BadConfig, RanksThatDoNotDivideTheStages) {
  expect_refused({"parallel.ranks=3"}, {"parallel.ranks = 3", "parallel.stages = 4", "1, 2, 4"});
}

TEST_F(BadConfig, MoreRanksThanStages) {
  expect_refused({"parallel.ranks=8"}, {"parallel.ranks = 8", "only 4 stages", "at most 4"});
}

TEST_F(BadConfig, HorizonBeyondTheStagesNamesTheLargest) {
  expect_refused({"learning.horizon=5"}, {"learning.horizon = 5", "largest that makes sense is 4"});
}

TEST_F(BadConfig, HorizonOfNone) { expect_refused({"learning.horizon=0"}, {"learning.horizon = 0", "1 to 4"}); }

// It used to be started, and to answer no signal for as long as it took memory.
TEST_F(BadConfig, ARunThatCannotFitIntoMemory) {
  const Words huge = {"model.layers=512", "model.width=16384", "model.heads=16", "model.feed_forward=65536"};
  expect_refused(huge, {"config.toml", "does not fit into memory", "the 4 ranks here hold", "--force"});
  Words words{"plan", "config.toml"};
  for (const std::string& one : huge) words.insert(words.end(), {"--set", one});
  const CommandResult planned = interlock(words);
  expect_done(planned);
  EXPECT_THAT(planned.output, HasSubstr("On this machine alone, the 4 ranks here hold"));
  EXPECT_THAT(planned.output, HasSubstr("`interlock train` refuses that"));
}

TEST_F(BadConfig, VocabularyTooSmallForTheData) {
  expect_refused({"model.vocabulary=100"}, {"vocabulary", "100", "261"});
}

TEST_F(BadConfig, NcclWithoutAGpu) {
  expect_refused({"parallel.transport=nccl", "run.device=cpu"},
                 {"parallel.transport", "needs a GPU for every rank", "run.device = \"cpu\"", "\"auto\""});
}

TEST_F(BadConfig, SequenceLongerThanTheModelReads) {
  expect_refused({"data.sequence_length=33"}, {"model.max_length", "32", "33", "data.sequence_length"});
}

TEST_F(BadConfig, WidthThatTheHeadsDoNotDivide) { expect_refused({"model.heads=3"}, {"model", "heads", "16"}); }

TEST_F(BadConfig, TiedEmbeddingsClippedPerStage) {
  expect_refused({"model.tie_embeddings=true", "optimizer.clip_scope=stage"}, {"optimizer.clip_scope", "tied"});
}

TEST_F(BadConfig, TiedEmbeddingsOfAModelWithoutAny) {
  expect_refused({"model.name=mlp", "data.name=spirals", "model.tie_embeddings=true"}, {"model.tie_embeddings"});
}

TEST_F(BadConfig, MatrixThatIsNotUpperTriangular) {
  expect_refused({"learning.rule=matrix", "learning.matrix=[[1,0,0,0],[0,1,0,0],[1,0,1,0],[0,0,0,1]]"},
                 {"not upper triangular", "stage 2", "loss 0"});
}

TEST_F(BadConfig, MatrixOfAnotherSize) {
  expect_refused({"learning.rule=matrix", "learning.matrix=[[1,0],[0,1]]"}, {"learning.matrix", "2 rows", "4 stages"});
}

TEST_F(BadConfig, MatrixWithANegativeWeight) {
  expect_refused({"learning.rule=matrix", "learning.matrix=[[1,0,0,0],[0,1,0,-2],[0,0,1,0],[0,0,0,1]]"},
                 {"learning.matrix[1][3] = -2", "at least 0"});
}

TEST_F(BadConfig, StageThatLearnsFromNothing) {
  expect_refused({"learning.rule=matrix", "learning.matrix=[[1,0,0,0],[0,0,0,0],[0,0,1,0],[0,0,0,1]]"},
                 {"stage 1 learns from nothing", "learning.frozen"});
}

TEST_F(BadConfig, HeadThatTheModelLacks) {
  expect_refused({"learning.head=tower"}, {"learning.head", "\"tower\"", "linear", "block"});
}

TEST_F(BadConfig, PartitionThatDoesNotAddUp) {
  expect_refused({"parallel.partition=[1,1,1,2]"}, {"partition", "5", "4"});
}

// Sizes below the least are refused with the key and the least.
struct Size {
  std::string override, least;
};
class BadSize : public BadConfig, public testing::WithParamInterface<Size> {};
void PrintTo(const Size& size, std::ostream* out) { *out << size.override; }

TEST_P(BadSize, IsRefused) {
  const std::string& text = GetParam().override;
  const size_t equals = text.find('=');
  expect_refused({text}, {text.substr(0, equals), text.substr(equals + 1) + " is too small", GetParam().least});
}

INSTANTIATE_TEST_SUITE_P(Sizes, BadSize,
                         testing::Values(Size{"model.layers=0", "1"}, Size{"model.width=-16", "1"},
                                         Size{"data.sequence_length=0", "3"}, Size{"parallel.stages=0", "1"},
                                         Size{"parallel.ranks=-1", "1"}, Size{"parallel.microbatches=0", "1"},
                                         Size{"parallel.microbatch_size=-2", "1"}, Size{"parallel.replicas=0", "1"},
                                         Size{"run.steps=-1", "0"}, Size{"run.evaluate_sequences=0", "1"},
                                         Size{"optimizer.learning_rate=-1.0", "0"}));

// A name that nothing goes by is refused with the names that there are.
struct Name {
  std::string key, known, another;
};
class BadName : public BadConfig, public testing::WithParamInterface<Name> {};
void PrintTo(const Name& name, std::ostream* out) { *out << name.key; }

TEST_P(BadName, IsRefusedWithTheKnownOnes) {
  expect_refused({GetParam().key + "=xyzzy"}, {GetParam().key, "\"xyzzy\"", GetParam().known, GetParam().another});
}

INSTANTIATE_TEST_SUITE_P(Names, BadName,
                         testing::Values(Name{"learning.rule", "furthest", "deep_supervision"},
                                         Name{"parallel.schedule", "wavefront", "gpipe"},
                                         Name{"parallel.transport", "loopback", "mpi"},
                                         Name{"parallel.placement", "contiguous", "interleaved"},
                                         Name{"model.name", "roberta", "mlp"}, Name{"optimizer.name", "adamw", "sgd"},
                                         Name{"optimizer.decay", "linear", "cosine"},
                                         Name{"data.name", "text", "spirals"},
                                         Name{"objective.name", "masked_language_model", "masked_language_model"}));

TEST_F(BadConfig, NearlyTheRightNameIsSuggested) {
  expect_refused({"learning.rule=furthst"}, {"did you mean \"furthest\"?"});
}

}  // namespace
}  // namespace interlock
