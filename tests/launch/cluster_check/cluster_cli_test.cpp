// `doctor --cluster` under mpirun, as a person starts it before a run.
#include <gmock/gmock.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "tests/support/small_project.h"

namespace interlock {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class Cluster : public SmallProject {
 protected:
  CommandResult cluster(const Words& ranks, const Words& arguments) {
    Words words{"mpirun"};
    if (geteuid() == 0) words.push_back("--allow-run-as-root");
    words.insert(words.end(), {"--oversubscribe", "-n"});
    words.insert(words.end(), ranks.begin(), ranks.end());
    words.insert(words.end(), {program(), "doctor", "--cluster"});
    words.insert(words.end(), arguments.begin(), arguments.end());
    CommandOptions options;
    options.folder = path().string();
    return run_command(words, options);
  }
  static nlohmann::json row(const nlohmann::json& report, const std::string& name) {
    for (const nlohmann::json& check : report["checks"])
      if (check["name"] == name) return check;
    ADD_FAILURE() << "no row " << name;
    return {};
  }
};

TEST_F(Cluster, FourRanksOfAConfigAreMeasuredInThePlansPairs) {
  const CommandResult result = cluster({"4"}, {"config.toml", "--json"});
  expect_done(result);
  const nlohmann::json report = last_object(result);
  ASSERT_EQ(report["hosts"].size(), 1u);
  EXPECT_THAT(report["hosts"][0]["ranks"].get<std::vector<int>>(), ElementsAre(0, 1, 2, 3));
  EXPECT_GT(report["hosts"][0]["forecast_memory"], 3e8) << "LibTorch alone takes 60 MB per rank, and 90 MB of files";
  EXPECT_GT(report["hosts"][0]["available_memory"], 0);
  ASSERT_EQ(report["pairs"].size(), 3u);
  for (const nlohmann::json& pair : report["pairs"]) {
    EXPECT_EQ(pair["to"], pair["from"].get<int>() + 1);
    EXPECT_GT(pair["latency_us"], 0);
    EXPECT_GT(pair["mib_per_second"], 0);
  }
  EXPECT_EQ(report["message_bytes"], 2 * 32 * 16 * 4) << "microbatch_size x sequence_length x width x 4 bytes";
  EXPECT_EQ(report["ok"], true) << result.output;
  for (const char* name : {"ranks", "program", "config", "mpi", "libraries", "clock", "run folder"})
    EXPECT_EQ(row(report, name)["status"], "ok") << result.output;
  EXPECT_FALSE(std::filesystem::exists(path("run")));
}

TEST_F(Cluster, AnotherNumberOfRanksOrAnotherConfigFails) {
  const CommandResult fewer = cluster({"2"}, {"config.toml", "--json"});
  EXPECT_EQ(fewer.code, 70) << fewer.all;
  EXPECT_THAT(row(last_object(fewer), "ranks")["found"], HasSubstr("the config asks for 4"));

  write("other.toml", read("config.toml") + "trace_steps = 3\n");
  const CommandResult other = cluster({"2", program(), "doctor", "--cluster", "config.toml", "--json", ":", "-n", "2"},
                                      {"other.toml", "--json"});
  EXPECT_EQ(other.code, 70) << other.all;
  EXPECT_EQ(row(last_object(other), "config")["status"], "fail");
}

TEST_F(Cluster, WithoutAConfigRanksNextToEachOtherAreNeighbours) {
  const CommandResult result = cluster({"2"}, {});
  expect_done(result);
  EXPECT_THAT(result.output, HasSubstr("ok    ranks       2 ranks on 1 host"));
  EXPECT_THAT(result.output, HasSubstr("MiB/s\n     0     1 "));
}

TEST_F(Cluster, AloneItSaysToUseTheLauncher) {
  const CommandResult result = interlock({"doctor", "--cluster", "--json"});
  expect_done(result);
  const nlohmann::json report = last_object(result);
  EXPECT_EQ(row(report, "ranks")["status"], "warn");
  EXPECT_EQ(report["pairs"].size(), 0u);
}

// More of them, as "start it with -n 4" would say, do not find each other either.
TEST_F(Cluster, OneProcessOfAForeignLauncherIsToldSo) {
  CommandOptions options;
  options.folder = path().string();
  const auto doctor = [&](const Words& more) {
    Words words{"env", "PMI_RANK=0", "PMI_SIZE=1", program(), "doctor", "--cluster", "config.toml"};
    words.insert(words.end(), more.begin(), more.end());
    return run_command(words, options);
  };
  expect_failure(doctor({}), 64, {"launcher of MPICH", "srun --mpi=pmix"});
  expect_done(doctor({"--set", "parallel.ranks=1"}));
}

TEST_F(Cluster, ABadConfigIsRefusedOnce) {
  expect_failure(interlock({"doctor", "--cluster", "config.toml", "--set", "model.layerz=1"}), 64, {"layerz"});
  EXPECT_EQ(interlock({"doctor", "config.toml"}).code, 2) << "a config is for --cluster";
}

}  // namespace
}  // namespace interlock
