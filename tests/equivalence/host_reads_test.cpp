// How often the host looks at a number while a step is performed: never in a microbatch where every look would wait for
// a device. Run on the CPU, which is told to be such a device: then it reads as a GPU would be read.

#include <ATen/record_function.h>
#include <gtest/gtest.h>

#include <atomic>

#include "launch/forecast/run_plans.h"
#include "parallel/keeping/weights.h"
#include "tests/support/engine_for_test.h"
#include "tests/support/run_for_test.h"

namespace interlock {
namespace {

std::atomic<int64_t> looks{0};

std::unique_ptr<at::ObserverContext> count_look(const at::RecordFunction& function) {
  const std::string name = function.name();
  if (name == "aten::_local_scalar_dense" || name == "aten::nonzero" || name == "aten::is_nonzero") ++looks;
  return nullptr;
}

// Counts looks of this process as long as it lives.
struct Counting {
  Counting() : handle(at::addGlobalCallback(at::RecordFunctionCallback(count_look))) { looks = 0; }
  ~Counting() { at::removeCallback(handle); }
  at::CallbackHandle handle;
};

struct Outcome {
  int64_t looks_per_step = 0;
  std::string digest;
  std::vector<double> losses;           // of the last stage, as reported
  std::vector<size_t> reports_by_step;  // that train() gave
};

Outcome train(std::vector<std::string> overrides, int microbatches, bool immediate) {
  constexpr int64_t steps = 4;
  for (const std::string& one : {std::string("parallel.ranks=1"), std::string("model.dropout=0.1"),
                                 "parallel.microbatches=" + std::to_string(microbatches)})
    overrides.push_back(one);
  const RunSettings settings = settings_for_test(overrides);
  const std::string path = new_folder() + "/weights.safetensors";
  Outcome outcome;
  run_loopback(1, [&](Transport& transport) {
    Device device;
    device.immediate = immediate;
    const EngineForTest rank = engine_for_test(settings, transport, steps, int64_t{8} << 20, device);
    const auto dataset = make_dataset(settings);
    dataset->open();
    const Plan plan = make_plans(settings, *make_model(settings, *dataset)).front().plan;
    const auto take = [&](const std::vector<StepReport>& reports) {
      for (const StepReport& report : reports) outcome.losses.push_back(report.stages.back().loss.sum);
    };
    for (int64_t step = 1; step <= steps; ++step) {
      const Counting counting;
      const std::vector<StepReport> reports = rank.engine->train(plan, {step, 1, 1e-2, 0.05});
      outcome.looks_per_step = looks;
      outcome.reports_by_step.push_back(reports.size());
      take(reports);
    }
    take(rank.engine->finish_steps());
    rank.engine->drain();
    write_weights(*rank.context, path, {}, {});
  });
  outcome.digest = weights_digest(*SafetensorsFile::open(path));
  return outcome;
}

class HostReads : public testing::TestWithParam<const char*> {
 protected:
  std::vector<std::string> overrides() const { return {std::string("learning.rule=") + GetParam()}; }
};

// A batch is looked through on the host before it is handed over: one look for its predicted rows, and none at what is
// computed.
TEST_P(HostReads, NoneInAMicrobatch) {
  const Outcome few = train(overrides(), 2, false), many = train(overrides(), 6, false);
  EXPECT_EQ(many.looks_per_step - few.looks_per_step, 4);
  const Outcome immediate_few = train(overrides(), 2, true), immediate_many = train(overrides(), 6, true);
  EXPECT_GT(immediate_many.looks_per_step - immediate_few.looks_per_step, 4) << "the counter counts nothing";
}

TEST_P(HostReads, ReportsComeOneStepBehindAndNothingElseChanges) {
  const Outcome immediate = train(overrides(), 3, true), behind = train(overrides(), 3, false);
  EXPECT_EQ(immediate.reports_by_step, (std::vector<size_t>{1, 1, 1, 1}));
  EXPECT_EQ(behind.reports_by_step, (std::vector<size_t>{0, 1, 1, 1}));
  EXPECT_EQ(behind.losses, immediate.losses);
  EXPECT_EQ(behind.digest, immediate.digest);
}

// Of classes one look for their rows, of scores none.
TEST(HostReads, NoneAtLabelsNorAtFeatures) {
  const std::vector<std::pair<int64_t, std::vector<std::string>>> cases = {
      {4, {"learning.rule=local", "data.name=labelled"}},
      {4, {"learning.rule=local", "data.name=labelled", "learning.head=reconstruction", "parallel.stages=2"}},
      {0, {"learning.rule=sum", "data.name=labelled", "objective.name=regression", "data.label=score"}}};
  for (const auto& [looks_more, overrides] : cases) {
    const Outcome few = train(overrides, 2, false), many = train(overrides, 6, false);
    EXPECT_EQ(many.looks_per_step - few.looks_per_step, looks_more) << overrides.back();
    EXPECT_EQ(few.digest, train(overrides, 2, true).digest) << overrides.back();
  }
}

INSTANTIATE_TEST_SUITE_P(Rules, HostReads, testing::Values("global", "sum", "local"));

TEST(HostReads, ABadLossIsNamedOneStepLater) {
  const auto told = [](bool immediate) -> std::string {
    try {
      const RunSettings settings = settings_for_test({"parallel.ranks=1", "optimizer.clip=0", "learning.rule=local"});
      std::string text;
      run_loopback(1, [&](Transport& transport) {
        Device device;
        device.immediate = immediate;
        const EngineForTest rank = engine_for_test(settings, transport, 8, int64_t{8} << 20, device);
        const auto dataset = make_dataset(settings);
        dataset->open();
        const Plan plan = make_plans(settings, *make_model(settings, *dataset)).front().plan;
        for (int64_t step = 1; step <= 8; ++step) rank.engine->train(plan, {step, 1, 1e30, 0});
      });
    } catch (const Error& error) {
      return error.what();
    }
    return "nothing";
  };
  const std::string at_once = told(true);
  EXPECT_NE(at_once.find("the loss of stage 0 is nan"), std::string::npos) << at_once;
  EXPECT_EQ(told(false), at_once);
}

}  // namespace
}  // namespace interlock
