// A rank that dies or throws ends the whole run within 10 s, with one message that names it; a signal ends it cleanly;
// nothing is left running. Over real processes, from the command line.
#include <gmock/gmock.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <set>
#include <thread>

#include "tests/support/small_disk.h"
#include "tests/support/small_project.h"

namespace interlock {
namespace {

using testing::ContainsRegex;
using testing::EndsWith;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

// The promise is about what happens after the fault, so the clock starts there.
constexpr double seconds_to_end = 10;

class Faults : public SmallProject {
 protected:
  // Hours of training, on its way: three steps are done.
  std::unique_ptr<RunningCommand> start_long_run() {
    Words words{program()};
    const Words train = train_words({"run.steps=1000000", "run.evaluate_every=0", "run.trace_steps=1"});
    words.insert(words.end(), train.begin(), train.end());
    CommandOptions options;
    options.folder = path().string();
    auto run = std::make_unique<RunningCommand>(words, options);
    EXPECT_TRUE(run->wait_until([&] { return steps_done() >= 3; })) << run->wait(0).all;
    return run;
  }
  long steps_done() const {
    std::ifstream file(path("run/metrics.jsonl"));
    return std::count(std::istreambuf_iterator<char>(file), {}, '\n');
  }

  // Four ranks under a bare mpirun, as a person or a batch script starts them.
  CommandResult bare_mpirun(int ranks, const Words& overrides) {
    Words words{std::to_string(ranks), program()};
    const Words train = train_words(overrides);
    words.insert(words.end(), train.begin(), train.end());
    return bare_mpirun(words);
  }
  CommandResult bare_mpirun(const Words& ranks_and_programs) {
    Words words{"mpirun"};
    if (geteuid() == 0) words.push_back("--allow-run-as-root");
    words.insert(words.end(), {"--oversubscribe", "-n"});
    words.insert(words.end(), ranks_and_programs.begin(), ranks_and_programs.end());
    CommandOptions options;
    options.folder = path().string();
    return run_command(words, options);
  }
};

TEST_F(Faults, AKilledRankEndsTheRun) {
  const auto run = start_long_run();
  const pid_t victim = run->rank(2);
  ASSERT_GT(victim, 0);
  kill(victim, SIGKILL);
  const CommandResult result = run->wait(seconds_to_end);
  expect_failure(result, 71, {"rank 2", "signal 9 (SIGKILL)"});
  EXPECT_THAT(result.all, Not(HasSubstr("-----"))) << "mpirun's banners are kept back";
  expect_no_half_files(path("run"));
  const nlohmann::json trace = nlohmann::json::parse(read("run/trace.json"));  // as it was when the rank died
  std::set<int> traced;
  for (const auto& event : trace["traceEvents"])
    if (event["ph"] == "X") traced.insert(event["pid"].get<int>());
  EXPECT_EQ(traced, (std::set<int>{0, 1, 2, 3}));
}

TEST_F(Faults, KillingRankZeroEndsTheRun) {
  const auto run = start_long_run();
  const pid_t victim = run->rank(0);
  ASSERT_GT(victim, 0);
  kill(victim, SIGKILL);
  expect_failure(run->wait(seconds_to_end), 71, {"rank 0", "signal 9 (SIGKILL)"});
}

// The first is a request, so that nothing is lost; the second means it.
TEST_F(Faults, CtrlCStopsTheRunWithACheckpoint) {
  const auto run = start_long_run();
  run->signal(SIGINT);
  const CommandResult result = run->wait(seconds_to_end);
  EXPECT_FALSE(result.timed_out);
  EXPECT_EQ(result.code, 128 + SIGINT) << result.all;
  EXPECT_THAT(result.all, HasSubstr("Ctrl-C again ends them at once"));
  EXPECT_THAT(result.all,
              EndsWith("interlock: stopped on request (SIGINT); go on with: interlock train run --resume\n"));
  EXPECT_THAT(result.left_running, IsEmpty());
  expect_done(interlock({"verify", "run"}));
}

TEST_F(Faults, CtrlCTwiceEndsTheRunAtOnce) {
  const auto run = start_long_run();
  run->signal(SIGINT);
  std::this_thread::sleep_for(std::chrono::milliseconds(20));  // far less than a checkpoint takes, mostly
  run->signal(SIGINT);
  const CommandResult result = run->wait(seconds_to_end);
  EXPECT_FALSE(result.timed_out);
  EXPECT_EQ(result.code, 128 + SIGINT) << result.all;
  EXPECT_THAT(result.all, Not(HasSubstr("interlock: error"))) << "being stopped is no error";
  EXPECT_THAT(result.left_running, IsEmpty());
  expect_no_half_files(path("run"));
}

// As in bad_input_cli_test: a checkpoint comes before the loss diverges.
const Words exploding = {"run.precision='float64'", "optimizer.learning_rate=1e30", "run.steps=40",
                         "checkpoint.every=1"};
constexpr const char* where = "rank [0-3]: the loss of stage [0-3] is -?(nan|inf) at step [0-9]+, microbatch [0-3]";

TEST_F(Faults, ARankWhoseLossDivergesEndsTheRun) {
  const CommandResult result = train(exploding);
  expect_failure(result, 70, {"optimizer.learning_rate"});
  EXPECT_THAT(result.tail(), ContainsRegex(where));
  expect_done(interlock({"inspect", "run"}));
}

size_t occurrences(const std::string& text, const std::string& part) {
  size_t count = 0;
  for (size_t at = 0; (at = text.find(part, at)) != std::string::npos; at += part.size()) ++count;
  return count;
}

// mpirun adds banners of its own, and more than one rank may have the time to say why: the last words must hold it.
void expect_bare_failure(const CommandResult& result, int code, const std::string& reason) {
  EXPECT_FALSE(result.timed_out);
  EXPECT_EQ(result.code, code) << result.all;
  EXPECT_THAT(result.tail(), ContainsRegex("interlock: error: .*" + reason));
  EXPECT_THAT(result.left_running, IsEmpty());
}

TEST_F(Faults, UnderABareMpirunTheReasonIsAmongTheLastWords) {
  expect_bare_failure(bare_mpirun(4, exploding), 70, where);
}

TEST_F(Faults, ABareMpirunWithAnotherNumberOfProcessesIsRefused) {
  expect_bare_failure(bare_mpirun(3, {}), 64, "needs 4 processes .*started with 3");
  EXPECT_FALSE(std::filesystem::exists(path("run")));
}

TEST_F(Faults, ABareMpirunOfABadConfigIsRefused) {
  expect_bare_failure(bare_mpirun(4, {"data.paths=['nowhere']"}), 65, "nowhere does not exist");
  EXPECT_FALSE(std::filesystem::exists(path("run")));
}

// Ranks 2 and 3 get a config that is not there, as on a host that lacks the file. MPI has begun then, so that the
// others need not wait for them for ever.
TEST_F(Faults, WhatOneHostLacksIsSaidOnceWithItsRank) {
  const CommandResult result =
      bare_mpirun(Words{"2", program(), "train", "config.toml", ":", "-n", "2", program(), "train", "absent.toml"});
  expect_bare_failure(result, 64, "rank 2 on [^ ]+: cannot read the config file absent.toml.*2 of 4 ranks");
  EXPECT_EQ(occurrences(result.all, "interlock: error:"), 1u) << result.all;
  EXPECT_LT(result.seconds, seconds_to_end);
  EXPECT_FALSE(std::filesystem::exists(path("run")));
}

// Two hosts with folders of their own at one path: /proc/self/cwd is another folder for the last two ranks.
TEST_F(Faults, FilesThatOneHostLacksAreSaidOnceWithItsRank) {
  std::filesystem::create_directory(path("elsewhere"));
  expect_done(train({"run.steps=1", "run.folder='earlier'"}));
  const Words here{program(), "train", path("config.toml").string()};
  const auto on_two_hosts = [&](const Words& more) {
    Words words{"2"};
    for (const std::string& word : here) words.push_back(word);
    words.insert(words.end(), more.begin(), more.end());
    words.insert(words.end(), {":", "-n", "2", "env", "-C", path("elsewhere").string()});
    for (const std::string& word : here) words.push_back(word);
    words.insert(words.end(), more.begin(), more.end());
    return bare_mpirun(words);
  };
  const std::string texts = "data.paths=['" + path("corpus").string() + "']";
  for (const auto& [overrides, code, reason] :
       {std::tuple{Words{"--set", texts, "--set", "run.folder='" + path("run").string() + "'", "--set",
                         "run.weights='/proc/self/cwd/earlier/weights.safetensors'"},
                   65, "rank 2 on [^ ]+: no weights .* at /proc/self/cwd/earlier/weights.safetensors .2 of 4 ranks"},
        {Words{"--set", texts, "--set", "run.folder='/proc/self/cwd/unseen'"}, 73,
         "rank 2 on [^ ]+: /proc/self/cwd/unseen: the run folder, .* not seen here.*2 of 4 ranks"}}) {
    const CommandResult result = on_two_hosts(overrides);
    expect_bare_failure(result, code, reason);
    EXPECT_EQ(occurrences(result.all, "interlock: error:"), 1u) << result.all;
    EXPECT_THAT(result.all, Not(HasSubstr("MPI_ABORT")));
    EXPECT_FALSE(std::filesystem::exists(path("run"))) << "weights are looked for before a folder is made";
  }
}

TEST_F(Faults, AWrongCommandLineIsSaidOnce) {
  for (const Words& words : {Words{"train", "config.toml", "--steps", "3"}, Words{"trian", "config.toml"},
                             Words{"evaluate", "nowhere", "--data", "corpus"}}) {
    Words started{"4", program()};
    started.insert(started.end(), words.begin(), words.end());
    const CommandResult result = bare_mpirun(started);
    EXPECT_NE(result.code, 0);
    EXPECT_EQ(occurrences(result.all, "interlock: error:"), 1u) << result.all;
  }
}

TEST_F(Faults, WhatIsWrongForAllIsSaidOnce) {
  const CommandResult result = bare_mpirun(4, {"model.layerz=3"});
  expect_bare_failure(result, 64, "layerz: unknown key");
  EXPECT_EQ(occurrences(result.all, "interlock: error:"), 1u) << result.all;
  EXPECT_THAT(result.all, Not(HasSubstr("rank 0")));
}

// As srun without PMIx and mpirun of MPICH start them: nobody is there to meet.
TEST_F(Faults, RanksThatMpiCannotJoinSayWhyOnce) {
  for (const auto& [variables, reason] :
       {std::pair{Words{"SLURM_STEP_ID=0", "SLURM_STEP_NUM_TASKS=2", "SLURM_PROCID="}, "srun --mpi=pmix"},
        {Words{"PMI_SIZE=2", "MPI_LOCALNRANKS=2", "PMI_RANK="}, "launcher of MPICH"}}) {
    for (const std::string rank : {"0", "1"}) {
      Words words{"env"};
      words.insert(words.end(), variables.begin(), variables.end());
      words.back() += rank;
      words.insert(words.end(), {program(), "train", path("config.toml").string()});
      const CommandResult result = run_command(words);
      if (rank == "0") {
        expect_failure(result, 64, {reason});
      } else {
        EXPECT_EQ(result.code, reason == std::string("launcher of MPICH") ? 64 : 0);
        EXPECT_EQ(result.all, "");
      }
    }
  }
  EXPECT_FALSE(std::filesystem::exists(path("run")));
}

TEST_F(Faults, ASingleRankNeedsNoMpi) {
  Words words{"env", "-C", path().string(), "SLURM_STEP_ID=0", "SLURM_STEP_NUM_TASKS=1", "SLURM_PROCID=0", program()};
  const Words train = train_words({"parallel.ranks=1", "run.steps=1"});
  words.insert(words.end(), train.begin(), train.end());
  expect_done(run_command(words));
  words.back() = "parallel.ranks=4";
  expect_failure(run_command(words), 64, {"salloc", "loopback", "srun --kill-on-bad-exit=1 --mpi=pmix -n 4"});
}

// Of another MPI's launcher: more processes, which "start it with -n 4" would ask for, would not meet either.
TEST_F(Faults, OneProcessOfAForeignLauncherStartsNothing) {
  for (const auto& [variables, name] :
       {std::pair{Words{"PMI_RANK=0", "PMI_SIZE=1"}, "launcher of MPICH"},
        {Words{"PMI_RANK=0", "PMI_SIZE=1", "I_MPI_HYDRA_UUID=1"}, "launcher of Intel MPI"}}) {
    Words words{"env", "-C", path().string()};
    words.insert(words.end(), variables.begin(), variables.end());
    words.push_back(program());
    const Words train = train_words({"run.steps=1", "parallel.ranks=4"});
    words.insert(words.end(), train.begin(), train.end());
    const CommandResult refused = run_command(words);
    expect_failure(refused, 64, {"needs 4 processes", "one process was started by the ", name, "srun --mpi=pmix"});
    EXPECT_THAT(refused.all, Not(HasSubstr("-n 4")));
    EXPECT_FALSE(std::filesystem::exists(path("run")));
  }
  Words alone{"env", "-C", path().string(), "PMI_RANK=0", "PMI_SIZE=1", program()};
  const Words train = train_words({"run.steps=1", "parallel.ranks=1"});
  alone.insert(alone.end(), train.begin(), train.end());
  expect_done(run_command(alone));  // which needs no MPI
}

TEST_F(Faults, ABareMpirunTrains) {
  expect_done(bare_mpirun(4, {"run.steps=2"}));
  expect_done(interlock({"inspect", "run"}));
}

TEST_F(Faults, AFullDiskUnderOneRankEndsTheRun) {
  const SmallDisk disk(path("disk"), 540 << 10);  // room for one checkpoint, and for no weights beside it
  if (!disk.problem().empty()) GTEST_SKIP() << "no right to mount a small disk: " << disk.problem();
  // Without a trace, which would take some of that room.
  expect_failure(train({"run.folder='disk/run'", "checkpoint.every=3", "run.trace_steps=0"}), 73,
                 {"rank 0", "disk/run/weights.safetensors", "No space left"});
  expect_no_half_files(path("disk"));
  expect_done(interlock({"inspect", "disk/run"}));
}

}  // namespace
}  // namespace interlock
