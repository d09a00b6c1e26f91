// What a machine has for all ranks together, and what is said of a run that needs more.
#include "launch/forecast/memory_check.h"

#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>

#include "launch/forecast/machine_memory.h"
#include "launch/forecast/run_plans.h"
#include "launch/settings/parts.h"
#include "models/model.h"
#include "runtime/core/error.h"

namespace interlock {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

constexpr double gibibyte = 1 << 30;

class Machine : public testing::Test {
 protected:
  Machine() {
    std::string name = (fs::temp_directory_path() / "interlock-machine-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("no temporary folder");
    root_ = name;
    write("proc/meminfo", "MemTotal:        8388608 kB\nMemFree:          100000 kB\nMemAvailable:    4000000 kB\n");
  }
  ~Machine() override { fs::remove_all(root_); }
  void write(const std::string& name, const std::string& content) const {
    fs::create_directories((root_ / name).parent_path());
    std::ofstream(root_ / name) << content;
  }
  MachineMemory memory() const { return machine_memory(root_.string()); }
  void expect(double bytes, const std::string& whose) const {
    EXPECT_EQ(memory().bytes, bytes);
    EXPECT_EQ(memory().whose, whose);
  }

  fs::path root_;
};

TEST_F(Machine, HasWhatItsKernelSays) {
  expect(8 * gibibyte, "this machine has");
  fs::remove(root_ / "proc/meminfo");
  EXPECT_EQ(memory().bytes, 0);
}

TEST_F(Machine, TheSmallestLimitOfTheControlGroupsAboveCounts) {
  write("proc/self/cgroup", "0::/job/step/task\n");
  write("sys/fs/cgroup/job/step/task/memory.max", "max\n");
  expect(8 * gibibyte, "this machine has");
  write("sys/fs/cgroup/job/step/memory.max", "3221225472\n");
  write("sys/fs/cgroup/job/memory.max", "4294967296\n");
  expect(3 * gibibyte, "the control group /job/step allows");
  write("sys/fs/cgroup/job/step/memory.max", "34359738368\n");
  expect(4 * gibibyte, "the control group /job allows");
}

// A container sees its own group as the root, by whatever path the host knows it.
TEST_F(Machine, TheRootOfAContainerIsAGroupToo) {
  write("proc/self/cgroup", "0::/docker/0123\n");
  write("sys/fs/cgroup/memory.max", "2147483648");
  expect(2 * gibibyte, "the control group / allows");
}

TEST_F(Machine, TheFirstVersionOfControlGroupsHasOtherNames) {
  write("proc/self/cgroup", "9:name=systemd:/\n4:cpu,memory:/slurm/uid_1\n0::/\n");
  write("sys/fs/cgroup/memory/slurm/uid_1/memory.limit_in_bytes", "1073741824\n");
  write("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");  // none
  expect(gibibyte, "the control group /slurm/uid_1 allows");
}

TEST_F(Machine, IsTightFromNineTenthsOn) {
  const MachineMemory ten{10 * gibibyte, "this machine has"};
  EXPECT_EQ(fit_of(9.0 * gibibyte, ten), Fit::fits);
  EXPECT_EQ(fit_of(9.1 * gibibyte, ten), Fit::tight);
  EXPECT_EQ(fit_of(10.0 * gibibyte, ten), Fit::tight);
  EXPECT_EQ(fit_of(10.1 * gibibyte, ten), Fit::exceeds);
  EXPECT_EQ(fit_of(1e30, {}), Fit::fits) << "nothing is known";
  EXPECT_EQ(fit_text(360 * gibibyte, 4, ten),
            "the 4 ranks here hold 360 GiB together at their peak, and this machine has 10.0 GiB");
  EXPECT_EQ(fit_text(12.25 * gibibyte, 1, ten),
            "the rank here holds 12.2 GiB at its peak, and this machine has 10.0 GiB");
  const MachineMemory small{400.0 * (1 << 20), "the control group /a allows"};
  EXPECT_EQ(fit_text(404.0 * (1 << 20), 1, small),
            "the rank here holds 404 MiB at its peak, and the control group /a allows 400 MiB");
}

TEST(MemoryTogether, CountsTheRanksOfTheMachineAndOfOtherReplicasNoCheckpoints) {
  std::vector<MemoryFootprint> ranks(2);
  ranks[0].parameters = 100, ranks[0].checkpoint = 7;
  ranks[1].parameters = 1000, ranks[1].checkpoint = 70;
  EXPECT_EQ(bytes_together(ranks, {0, 2}, {5}, false), 1177 + 2 * 5);
  EXPECT_EQ(bytes_together(ranks, {0, 4}, {5}, false), 1177 + 1100 + 4 * 5);
  EXPECT_EQ(bytes_together(ranks, {0, 4}, {5}, true), 2 * 1177 + 4 * 5);
  EXPECT_EQ(bytes_together(ranks, {1, 2}, {5}, false), 1070 + 100 + 2 * 5);
  EXPECT_EQ(bytes_together(ranks, {0, 4, true}, {5}, false), 1177 + 1100 + 5) << "threads of one process";
  // Pages of files are there once.
  EXPECT_EQ(bytes_together(ranks, {0, 2}, outside_of({5, 3}, 1), false), 1177 + 2 * 3 + 3);
}

// The model has more parameters than any machine's memory has bytes; nothing of it is made.
struct Checked {
  explicit Checked(const std::vector<std::string>& overrides)
      : settings(read_settings(Config::from_text("[model]\nname = \"mlp\"\nlayers = 64\nwidth = 262144\n[data]\nname = "
                                                 "\"spirals\"\n[parallel]\nstages = 2\n[run]\ndevice = \"cpu\"\n",
                                                 overrides))),
        dataset(make_dataset(settings)),
        model(make_model(settings, *dataset)),
        plans(make_plans(settings, *model)) {}
  void check(bool force) const {
    check_memory(settings, *model, plans_of_steps(plans, settings.steps), {0, 2, true}, force);
  }
  RunSettings settings;
  std::shared_ptr<Dataset> dataset;
  std::shared_ptr<Model> model;
  std::vector<TrainerSettings::RulePlan> plans;
};

TEST(MemoryCheck, RefusesARunThatCannotFitUnlessItIsForced) {
  const Checked huge({});
  try {
    huge.check(false);
    ADD_FAILURE() << "it was let through";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::config);
    for (const char* words : {"does not fit into memory", "the 2 ranks here hold", "run.recompute", "--force"})
      EXPECT_THAT(error.what(), HasSubstr(words));
  }
  testing::internal::CaptureStderr();
  huge.check(true);
  EXPECT_THAT(testing::internal::GetCapturedStderr(), HasSubstr("the 2 ranks here hold"));
}

TEST(MemoryCheck, SaysNothingOfARunThatFitsOrRunsOnAGpu) {
  testing::internal::CaptureStderr();
  Checked({"model.width=8"}).check(false);
  Checked({"run.device=cuda"}).check(false);
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

}  // namespace
}  // namespace interlock
