// Whole runs over transport nccl, on its stand-in, which adds in group order: the digest of the same run on loopback.
#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "parallel/plan/pair_order.h"
#include "parallel/transport/nccl/nccl.h"
#include "runtime/core/lost.h"
#include "tests/support/nccl_stand_in.h"
#include "tests/support/run_for_test.h"

namespace interlock {
namespace {

using Overrides = std::vector<std::string>;

void expect_same_run(const Overrides& overrides) {
  const RunSettings settings = settings_for_test(overrides);
  const TestRun plain = run_on_loopback(settings);
  NcclStandIn world(settings.parallel.processes(), /*computes=*/false);
  const TestRun over_nccl = run_on_loopback(settings, {.checkpoints = false}, [&](Transport& host) {
    return make_nccl(host, world.gpu(host.rank()),
                     {.pairs = message_pairs(settings.parallel.shape), .limit_seconds = 60, .check_headers = true});
  });
  const std::string what = testing::PrintToString(overrides);
  EXPECT_EQ(over_nccl.digest, plain.digest) << what;
  EXPECT_EQ(over_nccl.losses, plain.losses) << what;
  EXPECT_EQ(over_nccl.summary.validation_loss, plain.summary.validation_loss) << what;
  for (size_t rank = 0; rank < plain.counters.size(); ++rank) {
    EXPECT_EQ(over_nccl.counters[rank].messages_sent, plain.counters[rank].messages_sent) << what;
    EXPECT_EQ(over_nccl.counters[rank].bytes_sent, plain.counters[rank].bytes_sent) << what;
  }
  EXPECT_EQ(world.misuses(), 0) << what;
  EXPECT_EQ(world.communicators(), 0) << what;
}

TEST(NcclRun, PipelinesUnderEveryKindOfRule) {
  for (const char* rule : {"local", "furthest", "sum", "global"})
    expect_same_run({message("learning.rule=", rule), "learning.horizon=2"});
  expect_same_run({"learning.rule=global", "parallel.schedule=gpipe", "run.evaluate_every=2"});
}

TEST(NcclRun, SeveralStagesOfARankShareItsConnections) {
  expect_same_run({"learning.rule=sum", "learning.horizon=3", "parallel.ranks=2", "parallel.placement=interleaved"});
  expect_same_run(
      {"learning.rule=global", "parallel.ranks=2", "parallel.placement=[0, 1, 1, 0]", "run.precision=bf16"});
}

TEST(NcclRun, ReplicasSumGradients) {
  expect_same_run({"learning.rule=furthest", "learning.horizon=2", "parallel.ranks=2", "parallel.replicas=2"});
  expect_same_run({"learning.rule=global", "parallel.ranks=2", "parallel.replicas=3", "parallel.microbatches=2",
                   "optimizer.clip=0.5"});
}

TEST(NcclRun, SharedOutOptimizersGatherWhatOthersUpdate) {
  expect_same_run({"learning.rule=global", "parallel.ranks=2", "parallel.replicas=2", "parallel.shard_optimizer=true",
                   "optimizer.clip=0.5"});
}

TEST(NcclRun, TiedTensorsMeet) {
  expect_same_run({"learning.rule=global", "model.tie_embeddings=true", "optimizer.clip=0.5"});
  expect_same_run({"learning.rule=furthest", "learning.horizon=2", "model.tie_embeddings=true", "parallel.ranks=2",
                   "parallel.replicas=2", "parallel.shard_optimizer=true"});
}

// The processes are gone from one step to the next: the others' run ends with an error within the limit.
TEST(NcclRun, ALostRankEndsTheRun) {
  const RunSettings settings = settings_for_test({"learning.rule=global", "run.steps=1000"});
  NcclStandIn world(4, /*computes=*/false);
  std::thread killer([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    world.lose(2);
  });
  try {
    run_on_loopback(settings, {.checkpoints = false}, [&](Transport& host) {
      return make_nccl(host, world.gpu(host.rank()),
                       {.pairs = message_pairs(settings.parallel.shape), .limit_seconds = 1});
    });
    ADD_FAILURE() << "1000 steps without rank 2";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), lost_rank);
    EXPECT_NE(std::string(error.what()).find("rank 2"), std::string::npos) << error.what();
    // The lost rank itself may be the first to notice that nothing of its own goes on.
    EXPECT_NE(std::string(error.what()).find("within 1 s"), std::string::npos) << error.what();
  }
  killer.join();
}

}  // namespace
}  // namespace interlock
