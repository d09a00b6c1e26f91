// Runs over real processes that are killed, asked to stop, or lack a disk, and go on: nothing is lost, and the end is
// the one of a run that nothing happened to.
#include <gmock/gmock.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <random>
#include <thread>

#include "tests/support/small_disk.h"
#include "tests/support/small_project.h"

namespace interlock {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

constexpr long steps = 40;
const Words shares = {"parallel.ranks=2", "parallel.replicas=2", "parallel.microbatches=2",
                      "parallel.shard_optimizer=true"};
const Words short_run = {"run.steps=40", "checkpoint.every=4", "run.evaluate_every=0", "run.trace_steps=0"};

class Resume : public SmallProject {
 protected:
  Words words(const Words& overrides, const Words& options) const {
    Words all{program()};
    const Words train = train_words(overrides, options);
    all.insert(all.end(), train.begin(), train.end());
    return all;
  }
  std::unique_ptr<RunningCommand> start(const Words& command) const {
    CommandOptions options;
    options.folder = path().string();
    return std::make_unique<RunningCommand>(command, options);
  }
  static Words with(Words base, const Words& more) {
    base.insert(base.end(), more.begin(), more.end());
    return base;
  }
  std::string digest_of_undisturbed(const Words& overrides) const {
    const CommandResult result = train(with(overrides, {"run.folder='undisturbed'"}), {"--json", "--overwrite"});
    expect_done(result);
    return last_object(result)["digest"];
  }
  long steps_done() const {
    std::ifstream file(path("run/metrics.jsonl"));
    return std::count(std::istreambuf_iterator<char>(file), {}, '\n');
  }

  // Waits for a moment of a run that has `before` steps behind it, and ends a rank or the launcher by force: one kill
  // in eight as the run starts, the others at a step, or a little later, while a checkpoint may be written.
  CommandResult kill_once(const Words& overrides, std::mt19937& random, long before) const {
    const auto run = start(words(overrides, {"--resume"}));
    const long target = random() % 8 == 0 ? 0 : before + 1 + static_cast<long>(random() % (steps - 1 - before));
    run->wait_until([&] { return steps_done() >= target; });
    const auto moment =
        std::chrono::steady_clock::now() + std::chrono::milliseconds(random() % (target == 0 ? 800 : 20));
    run->wait_until([&] { return std::chrono::steady_clock::now() >= moment; });
    const int victim = static_cast<int>(random() % 5);
    if (victim == 4) {
      run->signal(SIGKILL);
    } else if (const pid_t rank = run->rank(victim); rank > 0) {
      kill(rank, SIGKILL);
    }
    return run->wait(10);
  }

  // Of the last process of a run: the end is the undisturbed one, and nothing of the kills is left.
  void expect_undisturbed(const Words& overrides, const std::string& digest) {
    const CommandResult last = train(overrides, {"--resume", "--json"});
    expect_done(last);
    EXPECT_EQ(last_object(last)["digest"], digest);
    expect_done(interlock({"verify", "run"}));
    expect_no_half_files(path("run"));
    // Each step stands once in the metrics, whatever happened.
    EXPECT_EQ(steps_done(), steps);
  }

  // `kills` that hit a run with some of its steps done and some to do. A run with few steps left goes on to its end,
  // and the next kills hit a new one.
  void survive_kills(const Words& overrides, int kills) {
    const std::string digest = digest_of_undisturbed(overrides);
    const unsigned seed = std::random_device{}();
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    std::mt19937 random(seed);
    int landed = 0, attempts = 0;
    bool checked = true;
    while (landed < kills && attempts < 3 * kills) {
      const long before = steps_done();
      if (before > steps - 10) {
        expect_undisturbed(overrides, digest);
        std::filesystem::remove_all(path("run"));
        checked = true;
        continue;
      }
      ++attempts;
      const CommandResult result = kill_once(overrides, random, before);
      const long done = steps_done();
      landed += result.code != 0 && done > 0 && done < steps;
      checked = false;
    }
    if (!checked) expect_undisturbed(overrides, digest);
    EXPECT_EQ(landed, kills) << "of " << attempts
                             << " kills, too many hit a run before its first step or after its last";
    RecordProperty("attempts", attempts);
  }
};

TEST_F(Resume, AfterKillsAtRandomMoments) {
  const char* many = std::getenv("INTERLOCK_KILLS");
  survive_kills(short_run, many != nullptr ? std::atoi(many) : 2);
}

// Four processes write each checkpoint, whichever of them is killed.
TEST_F(Resume, AfterKillsOfReplicasThatWriteTheirShares) { survive_kills(with(short_run, shares), 2); }

TEST_F(Resume, AskedToStopItWritesACheckpointAndGoesOn) {
  const Words long_run = with(short_run, {"run.steps=120", "checkpoint.every=0"});
  const std::string digest = digest_of_undisturbed(long_run);
  for (const int request : {SIGTERM, SIGUSR1}) {
    SCOPED_TRACE(strsignal(request));
    const long before = steps_done();
    const auto run = start(words(long_run, {"--resume"}));
    ASSERT_TRUE(run->wait_until([&] { return steps_done() >= before + 5; })) << run->wait(0).all;
    run->signal(request);
    const CommandResult result = run->wait(30);
    EXPECT_EQ(result.code, 75) << result.all;
    EXPECT_THAT(result.all, HasSubstr("--resume"));
    EXPECT_THAT(result.left_running, IsEmpty());
  }
  const CommandResult last = train(long_run, {"--resume", "--json"});
  expect_done(last);
  EXPECT_EQ(last_object(last)["digest"], digest);
}

TEST_F(Resume, ABareMpirunIsAskedByAUserSignal) {
  Words command{"mpirun"};
  if (geteuid() == 0) command.push_back("--allow-run-as-root");
  command.insert(command.end(), {"--oversubscribe", "-n", "4"});
  const Words long_run = with(short_run, {"run.steps=1000000", "checkpoint.every=0"});
  const auto run = start(with(command, words(long_run, {})));
  ASSERT_TRUE(run->wait_until([&] { return steps_done() >= 3; })) << run->wait(0).all;
  run->signal(SIGUSR1);
  const CommandResult result = run->wait(30);
  EXPECT_EQ(result.code, 75) << result.all;
  expect_done(interlock({"verify", "run"}));
}

TEST_F(Resume, UntilAStepAndOnWithOtherRanks) {
  const std::string digest = digest_of_undisturbed(short_run);
  const CommandResult first = train(short_run, {"--until", "17"});
  expect_done(first);
  EXPECT_TRUE(std::filesystem::exists(path("run/checkpoints/step-00000017/manifest.json"))) << first.all;
  const CommandResult last =
      train(with(short_run, {"parallel.ranks=2", "parallel.schedule=gpipe"}), {"--resume", "--json"});
  expect_done(last);
  EXPECT_EQ(last_object(last)["digest"], digest);
  expect_failure(train(short_run, {"--resume", "--until", "17"}), 64, {"--until 17", "step-00000040"});
}

TEST_F(Resume, ACheckpointOfSharesIsVerifiedInspectedAndGoneOnFrom) {
  const Words sharded = with(short_run, shares);
  const std::string digest = digest_of_undisturbed(sharded);
  expect_done(train(sharded, {"--until", "17"}));
  const std::string checkpoint = "run/checkpoints/step-00000017";
  const CommandResult verified = interlock({"verify", checkpoint, "--json"});
  expect_done(verified);
  EXPECT_THAT(verified.all, HasSubstr("optimizer-00000-of-replica-00001.safetensors"));
  const CommandResult inspected = interlock({"inspect", checkpoint, "--json"});
  expect_done(inspected);
  const nlohmann::json seen = last_object(inspected);
  // Two moments of each number, and the counts of updates; the readout's bias has a second name among the weights.
  const auto numbers = [](const nlohmann::json& tensors, const char* but) {
    size_t sum = 0;
    for (const nlohmann::json& tensor : tensors) {
      size_t size = std::string(tensor["name"]).ends_with(but) ? 0 : 1;
      for (const size_t dimension : tensor["shape"]) size *= dimension;
      sum += size;
    }
    return sum;
  };
  EXPECT_EQ(numbers(seen["optimizer"]["tensors"], ".count"), 2 * numbers(seen["tensors"], "lm_head.decoder.bias"));
  const CommandResult last = train(with(sharded, {"parallel.shard_optimizer=false"}), {"--resume", "--json"});
  expect_done(last);
  EXPECT_EQ(last_object(last)["digest"], digest);
}

// The same batch, its gradients summed in another order: in float64 the same but for the last digits, which forty steps
// of Adam leave below 1e-9 (its division makes a difference of the size of a step, 1e-3, only of gradients that are all
// rounding).
TEST_F(Resume, UntilAStepAndOnWithMoreReplicas) {
  const Words exact = with(short_run, {"run.precision='float64'"});
  digest_of_undisturbed(exact);
  expect_done(train(exact, {"--until", "17"}));
  expect_done(train(with(exact, {"parallel.ranks=2", "parallel.replicas=2", "parallel.microbatches=2"}), {"--resume"}));
  const CommandResult compared = interlock({"inspect", "run", "--against", "undisturbed", "--json"});
  expect_done(compared);
  EXPECT_LE(last_object(compared)["max_abs_difference"], 1e-9);
  EXPECT_TRUE(last_object(compared)["missing"].empty() && last_object(compared)["unexpected"].empty());
}

TEST_F(Resume, TwoRunsOnOneFolderAreRefused) {
  const auto run = start(words(with(short_run, {"run.steps=1000000"}), {}));
  ASSERT_TRUE(run->wait_until([&] { return steps_done() >= 2; })) << run->wait(0).all;
  expect_failure(train(short_run, {"--resume"}), 73, {"run", "process"});
  run->signal(SIGINT);
  run->wait(10);
}

// The last checkpoint among them: a run that cannot be trained on from its end does not end as if it could.
TEST_F(Resume, AFullDiskCostsCheckpointsAndIsSaidAtTheEnd) {
  // Weights of this network take some 200 KiB, a checkpoint three times as much: one of them fits, two do not, and the
  // weights at the end still do.
  expect_done(train(with(short_run, {"run.steps=4", "run.folder='size'"})));
  size_t weights = std::filesystem::file_size(path("size/weights.safetensors")), checkpoint = 0;
  for (const auto& entry : std::filesystem::directory_iterator(path("size/checkpoints/step-00000004")))
    checkpoint += entry.file_size();
  const SmallDisk disk(path("disk"), checkpoint + 2 * weights + (64 << 10));
  if (!disk.problem().empty()) GTEST_SKIP() << "no right to mount a small disk: " << disk.problem();
  const CommandResult result = train(with(short_run, {"run.folder='disk/run'"}));
  expect_failure(result, 73, {"weights are kept in disk/run/weights.safetensors", "its last step 40"});
  EXPECT_TRUE(std::filesystem::exists(path("disk/run/weights.safetensors")));
  EXPECT_THAT(result.all, HasSubstr("could not be written"));
  EXPECT_THAT(result.all, HasSubstr("training goes on"));
  expect_done(interlock({"verify", "disk/run"}));
  EXPECT_TRUE(std::filesystem::exists(path("disk/run/checkpoints/step-00000004"))) << "the first one fitted";
}

TEST_F(Resume, AChangedNetworkIsRefused) {
  expect_done(train(short_run, {"--until", "8"}));
  expect_failure(train(with(short_run, {"run.seed=5"}), {"--resume"}), 64, {"run.seed", "step-00000008"});
  expect_done(train(with(short_run, {"optimizer.learning_rate=1e-4", "run.steps=10"}), {"--resume"}));
}

}  // namespace
}  // namespace interlock
