// What mpirun or srun wrote into the environment of this process.
#include "parallel/transport/launch_place.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <optional>
#include <string_view>

namespace interlock {
namespace {

std::optional<long> number(const char* name) {
  const char* text = std::getenv(name);
  if (!text || !*text) return std::nullopt;
  char* end = nullptr;
  const long value = std::strtol(text, &end, 10);
  return *end ? std::nullopt : std::optional<long>(value);
}

// "2(x3),1" lists the tasks of each node: nodes 0..2 have two, node 3 has one.
int tasks_of_node(const char* text, long node) {
  while (text && *text) {
    char* end = nullptr;
    const long tasks = std::strtol(text, &end, 10);
    if (end == text) break;
    long repeats = 1;
    if (end[0] == '(' && end[1] == 'x') {
      repeats = std::strtol(end + 2, &end, 10);
      if (*end == ')') ++end;
    }
    if (node < repeats) return static_cast<int>(tasks);
    node -= repeats;
    text = *end == ',' ? end + 1 : nullptr;
  }
  return 1;
}

// A task of an srun step. The shell of sbatch and salloc also sees SLURM_PROCID=0, with no step or one of Slurm's
// special step numbers (batch, interactive, external: all at the top of 32 bits), and is nobody's rank.
bool is_step_task() {
  constexpr long first_special_step = 0xfffffff0L;
  const auto step = number("SLURM_STEP_ID");
  return step && *step >= 0 && *step < first_special_step && number("SLURM_PROCID");
}

bool is_set(const char* name) { return std::getenv(name) != nullptr; }

bool any_begins_with(std::string_view prefix) {
  for (char** variable = environ; variable && *variable; ++variable)
    if (std::string_view(*variable).starts_with(prefix)) return true;
  return false;
}

LaunchPlace open_mpi_rank(long rank, long size) {
  LaunchPlace place{.launched = true, .rank = static_cast<int>(rank), .size = static_cast<int>(size)};
  place.local_rank = static_cast<int>(number("OMPI_COMM_WORLD_LOCAL_RANK").value_or(0));
  place.local_size = static_cast<int>(number("OMPI_COMM_WORLD_LOCAL_SIZE").value_or(1));
  return place;
}

LaunchPlace slurm_task() {
  const auto step_tasks = number("SLURM_STEP_NUM_TASKS");
  const char* per_node = std::getenv("SLURM_STEP_TASKS_PER_NODE");
  LaunchPlace place{.launched = true, .rank = static_cast<int>(*number("SLURM_PROCID")), .slurm_step = true};
  place.size = static_cast<int>(step_tasks ? *step_tasks : number("SLURM_NTASKS").value_or(1));
  place.local_rank = static_cast<int>(number("SLURM_LOCALID").value_or(0));
  place.local_size =
      tasks_of_node(per_node ? per_node : std::getenv("SLURM_TASKS_PER_NODE"), number("SLURM_NODEID").value_or(0));
  if (!is_set("PMIX_NAMESPACE"))
    place.no_mpi =
        "this step of Slurm has no PMIx (PMIX_NAMESPACE is not set), so its tasks cannot find each other: use "
        "`srun --mpi=pmix` (`srun --mpi=list` shows whether Slurm has it), or mpirun inside salloc or sbatch";
  return place;
}

// A launcher that is neither Open MPI's nor Slurm, by the variables that it gives its ranks.
struct ForeignLauncher {
  const char *name, *rank, *size, *local_rank, *local_size;
  bool may_speak_pmix;  // which Open MPI's ranks find each other by
};
// Those that speak PMI beside words of their own stand before Hydra (of MPICH and its relatives), which has PMI alone.
constexpr ForeignLauncher foreign_launchers[] = {
    {"MVAPICH2", "MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_SIZE", "MV2_COMM_WORLD_LOCAL_RANK", "MV2_COMM_WORLD_LOCAL_SIZE",
     false},
    {"HPE PALS", "PALS_RANKID", "PMI_SIZE", "PALS_LOCAL_RANKID", "PALS_LOCAL_SIZE", true},
    {"Flux", "FLUX_TASK_RANK", "FLUX_JOB_SIZE", "FLUX_TASK_LOCAL_ID", "", true},
    {"MPICH", "PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID", "MPI_LOCALNRANKS", false},
};
const ForeignLauncher& hydra = foreign_launchers[3];

// Of a launcher that does not tell it, an even share of its nodes.
long ranks_of_node(const ForeignLauncher& launcher, long size) {
  if (const auto told = number(launcher.local_size)) return *told;
  const long nodes = std::max(1L, number("FLUX_JOB_NNODES").value_or(size));
  return (size + nodes - 1) / nodes;
}

// Without a size the rank cannot begin, but it is one of several. I_MPI_ROOT and such alone only mean that Intel's
// environment was loaded.
LaunchPlace foreign_rank(const ForeignLauncher& launcher, long rank, std::optional<long> told_size) {
  const long size = told_size.value_or(std::max(2L, rank + 1));
  LaunchPlace place{.launched = true, .rank = static_cast<int>(rank), .size = static_cast<int>(size)};
  place.local_rank = static_cast<int>(number(launcher.local_rank).value_or(0));
  place.local_size = static_cast<int>(ranks_of_node(launcher, size));
  if (launcher.may_speak_pmix && told_size && is_set("PMIX_NAMESPACE")) return place;
  const bool intel = &launcher == &hydra && any_begins_with("I_MPI_");
  place.no_mpi =
      std::string("started by the launcher of ") + (intel ? "Intel MPI" : launcher.name) + " (" + launcher.rank +
      " is set), whose ranks do not find each other in a program that is linked with Open MPI: use the mpirun "
      "of Open MPI (Debian: mpirun.openmpi), or srun --mpi=pmix";
  return place;
}

}  // namespace

LaunchPlace launch_place() {
  if (const auto rank = number("OMPI_COMM_WORLD_RANK"), size = number("OMPI_COMM_WORLD_SIZE"); rank && size)
    return open_mpi_rank(*rank, *size);
  // A step of Slurm may speak PMI too, and Hydra may start its ranks in a step: only Hydra counts those of a node.
  const bool step = is_step_task();
  for (const ForeignLauncher& launcher : foreign_launchers)
    if (const auto rank = number(launcher.rank); rank && (&launcher != &hydra || !step || is_set(hydra.local_size)))
      return foreign_rank(launcher, *rank, number(launcher.size));
  return step ? slurm_task() : LaunchPlace{};
}

}  // namespace interlock
