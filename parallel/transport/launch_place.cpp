// What mpirun or srun wrote into the environment of this process.
#include <cstdlib>
#include <optional>
#include <string>

#include "parallel/transport/mpi.h"

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

}  // namespace

LaunchPlace launch_place() {
  LaunchPlace place;
  if (const auto rank = number("OMPI_COMM_WORLD_RANK"), size = number("OMPI_COMM_WORLD_SIZE"); rank && size) {
    place.launched = true;
    place.rank = static_cast<int>(*rank);
    place.size = static_cast<int>(*size);
    place.local_rank = static_cast<int>(number("OMPI_COMM_WORLD_LOCAL_RANK").value_or(0));
    place.local_size = static_cast<int>(number("OMPI_COMM_WORLD_LOCAL_SIZE").value_or(1));
  } else if (is_step_task()) {
    const auto step_tasks = number("SLURM_STEP_NUM_TASKS");
    const char* per_node = std::getenv("SLURM_STEP_TASKS_PER_NODE");
    place.launched = true;
    place.rank = static_cast<int>(*number("SLURM_PROCID"));
    place.size = static_cast<int>(step_tasks ? *step_tasks : number("SLURM_NTASKS").value_or(1));
    place.local_rank = static_cast<int>(number("SLURM_LOCALID").value_or(0));
    place.local_size =
        tasks_of_node(per_node ? per_node : std::getenv("SLURM_TASKS_PER_NODE"), number("SLURM_NODEID").value_or(0));
  }
  return place;
}

}  // namespace interlock
