// Runs that were stopped or killed: what they leave behind is found by the next run and by the commands that read.
#include <gmock/gmock.h>
#include <signal.h>

#include <nlohmann/json.hpp>

#include "runtime/core/error.h"
#include "runtime/storage/folder_lock.h"
#include "tests/support/small_disk.h"
#include "tests/support/small_project.h"

namespace interlock {
namespace {

using testing::HasSubstr;
using testing::Not;

namespace fs = std::filesystem;

const Words quiet = {"run.trace_steps=0"};

class StoppedRun : public SmallProject {
 protected:
  static Words with(Words base, const Words& more) {
    base.insert(base.end(), more.begin(), more.end());
    return base;
  }
  // `interlock ARGUMENTS` with SIGUSR1 waiting for it from its first instruction on, as `env --block-signal` has it
  // wait.
  CommandResult asked_at_once(const Words& variables, const Words& arguments) const {
    Words words = with({"env", "-C", path().string(), "--block-signal=USR1"}, variables);
    words = with(words, {"bash", "-c", "kill -USR1 $$; exec \"$@\"", "bash", program()});
    return run_command(with(words, arguments));
  }
  nlohmann::json inspected(const std::string& what) const {
    const CommandResult result = interlock({"inspect", what, "--json"});
    expect_done(result);
    return last_object(result);
  }
};

// The rule changes at step 3; the run is killed after its checkpoint of step 4, before the weights of an evaluation.
TEST_F(StoppedRun, IsReadAtItsLastStep) {
  const Words changes = with(quiet, {"learning.change=[{at_step=3, rule='global'}]", "checkpoint.every=2"});
  expect_done(train_threads(changes, {"--until", "2"}));
  const std::string early = read("run/weights.safetensors");
  const CommandResult end = train_threads(changes, {"--resume", "--json"});
  expect_done(end);
  const std::string digest = last_object(end)["digest"];

  const nlohmann::json done = inspected("run");
  EXPECT_EQ(done["path"], "run/weights.safetensors");
  EXPECT_EQ(done["step"], 4);
  EXPECT_EQ(done["digest"], digest);

  write("run/weights.safetensors", early);
  const nlohmann::json killed = inspected("run");
  EXPECT_EQ(killed["path"], "run/checkpoints/step-00000004");
  EXPECT_EQ(killed["step"], 4);
  EXPECT_EQ(killed["digest"], digest);
  EXPECT_EQ(killed["rule"], "global");
  const CommandResult filled = interlock({"fill", "run", "al<mask>ha"});
  EXPECT_THAT(filled.all, HasSubstr("run/checkpoints/step-00000004"));

  const nlohmann::json file = inspected("run/weights.safetensors");
  EXPECT_EQ(file["step"], 2);
  EXPECT_EQ(file["rule"], "sum, horizon 2");
  const nlohmann::json checkpoint = inspected("run/checkpoints/step-00000002");
  EXPECT_EQ(checkpoint["rule"], "sum, horizon 2");
  EXPECT_EQ(checkpoint["digest"], file["digest"]);
  EXPECT_EQ(checkpoint["count"], file["count"]);
  const CommandResult against = interlock({"inspect", "run/checkpoints/step-00000002", "--against", "run"});
  expect_done(against);
  EXPECT_THAT(against.output, Not(HasSubstr("only")));
}

TEST_F(StoppedRun, LeftoversGoWhenTheNextOneStarts) {
  const Words plain = with(quiet, {"run.steps=3", "run.evaluate_every=0", "checkpoint.every=0"});
  expect_done(train_threads(plain, {"--until", "2"}));
  const Words left = {"run/weights.safetensors.0123456789abcdef.tmp", "run/trace.json.partial",
                      "run/checkpoints/.staging-step-00000003-0123456789abcdef/weights-00000.safetensors",
                      "run/checkpoints/.trash-step-00000001-0123456789abcdef/manifest.json"};
  const Words mine = {"run/notes.txt", "run/weights.safetensors.mine", "run/checkpoints/notes.txt"};
  for (const std::string& name : with(left, mine)) write(name, "half a file");
  {
    const FolderLock other(path("run").string(), "another run");
    expect_failure(train_threads(plain, {"--resume"}), 73, {"in use by another run"});
    for (const std::string& name : left) EXPECT_TRUE(fs::exists(path(name))) << name << " of a live run";
  }
  // It writes no checkpoint, so nothing else tidies up.
  expect_done(train_threads(plain, {"--resume"}));
  EXPECT_FALSE(fs::exists(path("run/checkpoints/step-00000003")));
  expect_no_half_files(path("run"));
  for (const std::string& name : mine) EXPECT_EQ(read(name), "half a file");
}

const Words slurm_task = {"SLURM_STEP_ID=0", "SLURM_STEP_NUM_TASKS=1", "SLURM_PROCID=0"};

TEST_F(StoppedRun, ARequestThatComesWhileARankLoadsIsKept) {
  const CommandResult result = asked_at_once(slurm_task, train_words({"parallel.ranks=1", "run.steps=1000"}));
  EXPECT_EQ(result.code, 75) << result.all;
  EXPECT_THAT(result.all, HasSubstr("Stopped after step"));
  EXPECT_FALSE(fs::is_empty(path("run/checkpoints")));
}

TEST_F(StoppedRun, ARequestThatComesWhileALauncherLoadsEndsItAtOnce) {
  const CommandResult result = asked_at_once({}, train_words({}));
  EXPECT_EQ(result.code, 75) << result.all;
  EXPECT_EQ(result.all, "interlock: stopped on request, before anything ran\n");
  EXPECT_FALSE(fs::exists(path("run")));
}

TEST_F(StoppedRun, ACommandThatTakesNoRequestsEndsBySuchASignal) {
  EXPECT_EQ(asked_at_once({}, {"verify", "run"}).code, 128 + SIGUSR1);
}

#ifdef INTERLOCK_EARLY_SIGNAL
// A library whose constructor raises SIGUSR1 stands for the time that LibTorch's take.
TEST_F(StoppedRun, ARequestIsKeptFromBeforeTheFirstConstructorOn) {
  Words words = with({"env", "-C", path().string(), "LD_PRELOAD=" INTERLOCK_EARLY_SIGNAL}, slurm_task);
  words = with(words, {program()});
  const CommandResult result = run_command(with(words, train_words({"parallel.ranks=1", "run.steps=1000"})));
  EXPECT_EQ(result.code, 75) << result.all;
}

// Of a process that no launcher has started, SIGTERM is a request too; of other commands it is the end.
TEST_F(StoppedRun, SigtermIsKeptFromBeforeTheFirstConstructorOn) {
  const Words early = {"env",
                       "-C",
                       path().string(),
                       "LD_PRELOAD=" INTERLOCK_EARLY_SIGNAL,
                       message("INTERLOCK_EARLY_SIGNAL=", SIGTERM),
                       program()};
  const CommandResult result = run_command(with(early, train_words({})));
  EXPECT_EQ(result.code, 75) << result.all;
  EXPECT_THAT(result.all, HasSubstr("stopped on request, before anything ran"));
  EXPECT_EQ(run_command(with(early, {"verify", "run"})).code, 128 + SIGTERM);
}
#endif

// A folder that is a mount point cannot be renamed. What lies in it is whole: of anything else nothing is removed.
TEST_F(StoppedRun, ACheckpointStandsWhenOlderOnesCannotBeRemoved) {
  expect_done(train_threads(quiet, {"--until", "1"}));
  const auto first = files("run/checkpoints/step-00000001");
  const SmallDisk disk(path("run/checkpoints/step-00000001"), 2 << 20);
  if (!disk.problem().empty()) GTEST_SKIP() << "no right to mount a small disk: " << disk.problem();
  for (const auto& [name, content] : first) write(name, content);
  const CommandResult result = train_threads(with(quiet, {"checkpoint.keep=1"}), {"--resume", "--until", "2"});
  expect_done(result);
  EXPECT_THAT(result.all, HasSubstr("the checkpoint of step 2 is written, but older ones could not be removed"));
  EXPECT_THAT(result.all, Not(HasSubstr("could not be written")));
  expect_done(interlock({"verify", "run/checkpoints/step-00000002"}));
}

// The last evaluation was two steps before: its loss is not that of the weights the run stops with.
TEST_F(StoppedRun, TellsWhichStepItsHeldOutLossIsOf) {
  const Words evaluated = with(quiet, {"run.evaluate_every=2"});
  const CommandResult stopped = train_threads(evaluated, {"--until", "3", "--json"});
  expect_done(stopped);
  EXPECT_EQ(last_object(stopped)["validation_step"], 2);
  EXPECT_THAT(stopped.errors, HasSubstr("Held-out loss after step 2: "));
  const CommandResult done = train_threads(evaluated, {"--resume", "--json"});
  expect_done(done);
  EXPECT_EQ(last_object(done)["validation_step"], 4);
  EXPECT_THAT(done.errors, Not(HasSubstr("Held-out loss after")));
}

// The files of the checkpoint are small enough for the limit, that of the weights is not.
TEST_F(StoppedRun, UntilAStepWithoutItsWeightsIsAFailure) {
  expect_done(train_threads(quiet, {"--until", "2"}));
  uint64_t largest = 0;
  for (const auto& entry : fs::directory_iterator(path("run/checkpoints/step-00000002")))
    largest = std::max(largest, static_cast<uint64_t>(entry.file_size()));
  CommandOptions limited;
  limited.largest_file = largest;
  ASSERT_LT(largest, fs::file_size(path("run/weights.safetensors")));
  const Words more = with(quiet, {"run.steps=6"});
  const CommandResult result = train_threads(more, {"--resume", "--until", "4"}, limited);
  expect_failure(result, 73, {"weights.safetensors", "File too large"});
  EXPECT_TRUE(fs::exists(path("run/checkpoints/step-00000004/manifest.json")));
  EXPECT_EQ(inspected("run")["step"], 4);
}

}  // namespace
}  // namespace interlock
