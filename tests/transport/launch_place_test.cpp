// What launch_place makes of the environments of mpirun and Slurm.
#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <string>

#include "parallel/transport/mpi.h"

namespace interlock {
namespace {

LaunchPlace place_in(const std::map<std::string, std::string>& environment) {
  for (const char* name :
       {"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_SIZE",
        "SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID", "SLURM_NODEID", "SLURM_STEP_ID", "SLURM_STEP_NUM_TASKS",
        "SLURM_STEP_TASKS_PER_NODE", "SLURM_TASKS_PER_NODE"}) {
    unsetenv(name);
  }
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
