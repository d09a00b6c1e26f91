// How a run's schedules are chosen: by the config alone, and within its memory.

#include "launch/forecast/run_plans.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "launch/forecast/memory_footprint.h"
#include "launch/settings/parts.h"
#include "models/model.h"
#include "runtime/core/error.h"

namespace interlock {
namespace {

using testing::HasSubstr;

constexpr double mib = 1 << 20;

constexpr const char* base = R"(
[model]
name = "mlp"
layers = 8
width = 256
[data]
name = "spirals"
[learning]
rule = "global"
[parallel]
stages = 4
microbatches = 16
microbatch_size = 512
[optimizer]
clip = 0
[checkpoint]
every = 0
)";

struct SmallRun {
  explicit SmallRun(const std::vector<std::string>& overrides)
      : settings(read_settings(Config::from_text(base, overrides))),
        model(make_model(settings, *make_dataset(settings))) {}
  Plan plan() const { return make_plans(settings, *model).front().plan; }
  // Of the rank that holds most.
  double peak() const {
    double most = 0;
    for (const MemoryFootprint& rank : rank_footprints(settings, *model, make_partition(settings, *model)))
      most = std::max(most, rank.all());
    return most;
  }

  RunSettings settings;
  std::shared_ptr<Model> model;
};

TEST(RunPlans, TheScheduleAskedForIsTaken) {
  for (const std::string schedule : {"wavefront", "gpipe", "zero_bubble", "steady"})
    EXPECT_EQ(SmallRun({"parallel.schedule=" + schedule}).plan().schedule, schedule);
}

TEST(RunPlans, TheChoiceDoesNotDependOnTheMachine) {
  const std::string chosen = print_plan(SmallRun({}).plan());
  SmallRun by_machine({"parallel.threads=0"});
  EXPECT_TRUE(by_machine.settings.parallel.threads_by_machine);
  for (const int threads : {1, 2, 64}) {
    by_machine.settings.parallel.threads = threads;
    EXPECT_EQ(print_plan(by_machine.plan()), chosen) << threads;
  }
}

TEST(RunPlans, FewerInFlightWhereMemoryIsShort) {
  const double all = SmallRun({}).peak();
  const std::string limit = std::to_string(static_cast<int64_t>(std::ceil(all / mib)));
  EXPECT_EQ(print_plan(SmallRun({"parallel.memory_mib=" + limit}).plan()), print_plan(SmallRun({}).plan()));
  const auto least_in_flight = [](const SmallRun& run) { return std::ranges::max(run.plan().in_flight()); };
  const int before = least_in_flight(SmallRun({}));
  const double wavefront = SmallRun({"parallel.schedule=wavefront"}).peak();
  ASSERT_LT(wavefront, all - 2 * mib);
  const SmallRun shorter({"parallel.memory_mib=" + std::to_string(static_cast<int64_t>(all / mib) - 1)});
  EXPECT_LT(least_in_flight(shorter), before);
  EXPECT_LE(shorter.peak(), std::floor(all / mib - 1) * mib);
}

TEST(RunPlans, TooLittleMemoryNamesTheKeyAndTheLeastThatWorks) {
  std::string told;
  try {
    SmallRun({"parallel.memory_mib=1"}).plan();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::config);
    told = error.what();
  }
  EXPECT_THAT(told,
              testing::AllOf(HasSubstr("--set parallel.memory_mib"), HasSubstr("= 1: the least that works here is "),
                             HasSubstr("1 microbatch in flight")));
  const size_t at = told.find("here is ") + 8;
  const int least = std::stoi(told.substr(at));
  EXPECT_EQ(std::ranges::max(SmallRun({"parallel.memory_mib=" + std::to_string(least)}).plan().in_flight()), 1);
  EXPECT_THROW(SmallRun({"parallel.memory_mib=" + std::to_string(least - 1)}).plan(), Error);
  // A schedule asked for by name is held to it too.
  EXPECT_THROW(SmallRun({"parallel.schedule=gpipe", "parallel.memory_mib=" + std::to_string(least)}).plan(), Error);
}

}  // namespace
}  // namespace interlock
