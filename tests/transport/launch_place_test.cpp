// What launch_place makes of the environments of mpirun and Slurm.
#include <gmock/gmock.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "parallel/transport/launch_place.h"

namespace interlock {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

// Without what a launcher of this test itself has set.
LaunchPlace place_in(const std::map<std::string, std::string>& environment) {
  std::vector<std::string> inherited;
  for (char** variable = environ; *variable; ++variable)
    for (const char* prefix : {"OMPI_", "SLURM_", "PMI", "MPI_", "I_MPI_", "MV2_", "PALS_", "FLUX_"})
      if (std::string_view(*variable).starts_with(prefix))
        inherited.emplace_back(*variable, std::strchr(*variable, '='));
  for (const std::string& name : inherited) unsetenv(name.c_str());
  for (const auto& [name, value] : environment) setenv(name.c_str(), value.c_str(), 1);
  return launch_place();
}

void expect_place(const LaunchPlace& place, int rank, int size, int local_rank, int local_size) {
  EXPECT_TRUE(place.launched);
  EXPECT_EQ(place.rank, rank);
  EXPECT_EQ(place.size, size);
  EXPECT_EQ(place.local_rank, local_rank);
  EXPECT_EQ(place.local_size, local_size);
}

TEST(LaunchPlace, AloneIsNotLaunched) {
  const LaunchPlace place = place_in({});
  EXPECT_FALSE(place.launched);
  EXPECT_EQ(place.size, 1);
}

TEST(LaunchPlace, OpenMpi) {
  expect_place(place_in({{"OMPI_COMM_WORLD_RANK", "5"},
                         {"OMPI_COMM_WORLD_SIZE", "8"},
                         {"OMPI_COMM_WORLD_LOCAL_RANK", "1"},
                         {"OMPI_COMM_WORLD_LOCAL_SIZE", "4"}}),
               5, 8, 1, 4);
}

TEST(LaunchPlace, SlurmTask) {
  const std::map<std::string, std::string> task{{"SLURM_PROCID", "6"},  {"SLURM_NTASKS", "7"},
                                                {"SLURM_LOCALID", "0"}, {"SLURM_NODEID", "3"},
                                                {"SLURM_STEP_ID", "0"}, {"SLURM_STEP_TASKS_PER_NODE", "2(x3),1"}};
  expect_place(place_in(task), 6, 7, 0, 1);
  auto on_second_node = task;
  on_second_node["SLURM_NODEID"] = "1";
  expect_place(place_in(on_second_node), 6, 7, 0, 2);
  auto smaller_step = task;  // a step may take part of the allocation
  smaller_step["SLURM_STEP_NUM_TASKS"] = "3";
  EXPECT_EQ(place_in(smaller_step).size, 3);
}

// `srun` with no --mpi sets nothing, `--mpi=pmi2` what Open MPI does not read.
TEST(LaunchPlace, ASlurmStepWithoutPmixSaysWhatToUse) {
  std::map<std::string, std::string> task{{"SLURM_PROCID", "1"}, {"SLURM_STEP_NUM_TASKS", "4"}, {"SLURM_STEP_ID", "0"}};
  EXPECT_THAT(place_in(task).no_mpi, HasSubstr("srun --mpi=pmix"));
  EXPECT_TRUE(place_in(task).slurm_step);
  task.insert({{"PMI_RANK", "1"}, {"PMI_SIZE", "4"}});
  EXPECT_THAT(place_in(task).no_mpi, HasSubstr("srun --mpi=pmix"));
  expect_place(place_in(task), 1, 4, 0, 1);
  task.emplace("PMIX_NAMESPACE", "slurm.pmix.5.0");
  EXPECT_EQ(place_in(task).no_mpi, "");
}

// As Hydra of MPICH 4.0.2 sets them.
const std::map<std::string, std::string> hydra{
    {"PMI_RANK", "3"}, {"PMI_SIZE", "4"}, {"MPI_LOCALRANKID", "1"}, {"MPI_LOCALNRANKS", "2"}};

TEST(LaunchPlace, RanksOfMpichAreRanksWithoutMpi) {
  const LaunchPlace place = place_in(hydra);
  expect_place(place, 3, 4, 1, 2);
  EXPECT_FALSE(place.slurm_step);
  EXPECT_THAT(place.no_mpi, StartsWith("started by the launcher of MPICH"));
  EXPECT_THAT(place.no_mpi, HasSubstr("the mpirun of Open MPI"));
}

TEST(LaunchPlace, HydraInsideASlurmJobStartsItsRanksInAStep) {
  auto rank = hydra;
  rank.insert({{"SLURM_PROCID", "1"}, {"SLURM_STEP_ID", "0"}, {"SLURM_STEP_NUM_TASKS", "2"}});
  expect_place(place_in(rank), 3, 4, 1, 2);
  EXPECT_THAT(place_in(rank).no_mpi, HasSubstr("MPICH"));
}

TEST(LaunchPlace, IntelMpiIsNamed) {
  auto rank = hydra;
  rank.emplace("I_MPI_MPIRUN", "mpirun");
  EXPECT_THAT(place_in(rank).no_mpi, StartsWith("started by the launcher of Intel MPI"));
}

TEST(LaunchPlace, OtherLaunchersAreNamed) {
  const auto mvapich = place_in({{"MV2_COMM_WORLD_RANK", "3"},
                                 {"MV2_COMM_WORLD_SIZE", "4"},
                                 {"MV2_COMM_WORLD_LOCAL_RANK", "1"},
                                 {"MV2_COMM_WORLD_LOCAL_SIZE", "2"}});
  expect_place(mvapich, 3, 4, 1, 2);
  EXPECT_THAT(mvapich.no_mpi, StartsWith("started by the launcher of MVAPICH2 (MV2_COMM_WORLD_RANK is set)"));
  // They set PMI's variables too, and are not taken for MPICH.
  std::map<std::string, std::string> pals{
      {"PALS_RANKID", "3"}, {"PALS_LOCAL_RANKID", "1"}, {"PALS_LOCAL_SIZE", "2"}, {"PMI_RANK", "3"}, {"PMI_SIZE", "4"}};
  expect_place(place_in(pals), 3, 4, 1, 2);
  EXPECT_THAT(place_in(pals).no_mpi, StartsWith("started by the launcher of HPE PALS"));
  std::map<std::string, std::string> flux{{"FLUX_TASK_RANK", "3"},     {"FLUX_JOB_SIZE", "4"}, {"FLUX_JOB_NNODES", "2"},
                                          {"FLUX_TASK_LOCAL_ID", "1"}, {"PMI_RANK", "3"},      {"PMI_SIZE", "4"}};
  expect_place(place_in(flux), 3, 4, 1, 2);
  EXPECT_THAT(place_in(flux).no_mpi, StartsWith("started by the launcher of Flux"));
  // With PMIx, which Open MPI starts by, each of them is a launcher like another.
  for (auto* launcher : {&pals, &flux}) {
    launcher->emplace("PMIX_NAMESPACE", "some");
    EXPECT_EQ(place_in(*launcher).no_mpi, "");
    EXPECT_EQ(place_in(*launcher).size, 4);
  }
  // Inside a step of Slurm, whose variables its ranks inherit.
  flux.erase("PMIX_NAMESPACE");
  flux.insert({{"SLURM_PROCID", "0"}, {"SLURM_STEP_ID", "0"}, {"SLURM_STEP_NUM_TASKS", "2"}});
  expect_place(place_in(flux), 3, 4, 1, 2);
}

// One that was not told how many there are is no process by itself, which would start ranks of its own.
TEST(LaunchPlace, ARankWithoutASizeIsOneOfSeveral) {
  const LaunchPlace place = place_in({{"PALS_RANKID", "0"}, {"PMIX_NAMESPACE", "some"}});
  EXPECT_GT(place.size, 1);
  EXPECT_THAT(place.no_mpi, HasSubstr("HPE PALS"));
  EXPECT_GT(place_in({{"PMI_RANK", "0"}}).size, 1);
}

TEST(LaunchPlace, AnEnvironmentOfIntelMpiThatIsOnlyLoadedLaunchesNothing) {
  const LaunchPlace place = place_in({{"I_MPI_ROOT", "/opt/intel/mpi"}});
  EXPECT_FALSE(place.launched);
  EXPECT_EQ(place.no_mpi, "");
}

TEST(LaunchPlace, OpenMpisOwnRanksMayHaveAnyOfThatAround) {
  auto rank = hydra;
  rank.insert({{"OMPI_COMM_WORLD_RANK", "0"}, {"OMPI_COMM_WORLD_SIZE", "2"}, {"I_MPI_ROOT", "/opt/intel/mpi"}});
  EXPECT_EQ(place_in(rank).no_mpi, "");
  EXPECT_EQ(place_in(rank).size, 2);
}

// mpirun inside a Slurm allocation: both speak, and mpirun's ranks are the real ones.
TEST(LaunchPlace, MpirunInsideSlurm) {
  const LaunchPlace place = place_in({{"OMPI_COMM_WORLD_RANK", "3"},
                                      {"OMPI_COMM_WORLD_SIZE", "4"},
                                      {"SLURM_PROCID", "0"},
                                      {"SLURM_NTASKS", "2"},
                                      {"SLURM_STEP_ID", "0"}});
  EXPECT_EQ(place.rank, 3);
  EXPECT_EQ(place.size, 4);
}

// The shells that sbatch and salloc give are no tasks, whatever their environment says.
TEST(LaunchPlace, ShellsOfAnAllocationAreNotLaunched) {
  EXPECT_FALSE(place_in({{"SLURM_PROCID", "0"}, {"SLURM_NTASKS", "4"}}).launched);
  EXPECT_FALSE(place_in({{"SLURM_PROCID", "0"}, {"SLURM_NTASKS", "4"}, {"SLURM_STEP_ID", "4294967291"}}).launched);
  EXPECT_FALSE(place_in({{"SLURM_PROCID", "0"}, {"SLURM_NTASKS", "4"}, {"SLURM_STEP_ID", "4294967290"}}).launched);
}

}  // namespace
}  // namespace interlock
