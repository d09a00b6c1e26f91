// An empty rank is measured in a process of its own, data in this one.
#include "launch/forecast/measured_memory.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <numeric>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "launch/settings/parts.h"
#include "runtime/core/error.h"
#include "runtime/data/dataset.h"

namespace interlock {
namespace {

double resident_bytes() {
  std::ifstream status("/proc/self/statm");
  int64_t size = 0, resident = 0;
  status >> size >> resident;
  return static_cast<double>(resident) * static_cast<double>(sysconf(_SC_PAGESIZE));
}

std::vector<char*> pointers_to(std::vector<std::string>& words) {
  std::vector<char*> pointers;
  for (std::string& word : words) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  return pointers;
}

// What a program prints, started without a shell; nothing when it cannot be started or fails.
std::optional<std::string> output_of(std::vector<std::string> command, std::vector<std::string> environment) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return {};
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
  posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
  pid_t child = -1;
  const bool started = posix_spawn(&child, command.front().c_str(), &actions, nullptr, pointers_to(command).data(),
                                   pointers_to(environment).data()) == 0;
  posix_spawn_file_actions_destroy(&actions);
  close(ends[1]);
  std::string output;
  char part[256];
  for (ssize_t count = 0; started && (count = read(ends[0], part, sizeof part)) > 0;)
    output.append(part, static_cast<size_t>(count));
  close(ends[0]);
  int status = 0;
  if (!started || waitpid(child, &status, 0) != child || status != 0) return {};
  return output;
}

}  // namespace

double measure_data(const RunSettings& settings) {
  const double before = resident_bytes();
  try {
    const auto dataset = make_dataset(settings);
    dataset->open();
    // A few steps' worth of samples, so that what reading keeps is there too.
    std::vector<int64_t> numbers(static_cast<size_t>(std::min<int64_t>(256, dataset->samples(Split::training))));
    std::iota(numbers.begin(), numbers.end(), 0);
    dataset->batch(Split::training, numbers);
    return std::max(0.0, resident_bytes() - before);
  } catch (const Error&) {
    return 0;  // a plan can be made where the data is not
  }
}

double measure_empty_rank(const RunSettings& settings) {
  // Whatever launched this process must not take the child for one of its ranks: an environment of its own.
  std::vector<std::string> environment{"OMP_NUM_THREADS=1", "OMPI_ALLOW_RUN_AS_ROOT=1",
                                       "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1"};
  for (const char* name : {"PATH", "HOME"})
    if (const char* value = std::getenv(name)) environment.push_back(message(name, "=", value));
  const std::optional<std::string> answer = output_of(
      {"/proc/self/exe", "doctor", "--rank-memory", settings.model_name, std::string(name_of(settings.precision))},
      std::move(environment));
  return answer ? std::strtod(answer->c_str(), nullptr) : 0;
}

}  // namespace interlock
