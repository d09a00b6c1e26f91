// An empty rank is measured in a process of its own, data in this one.
#include "launch/forecast/measured_memory.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <map>
#include <numeric>
#include <optional>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "launch/settings/parts.h"
#include "models/model.h"
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

// Reads the training samples with the first `count` numbers: files are mapped, and their pages count as memory from
// when they are read, so a run's data grows until it has met all of it. As many as half a second allows: 100,000 of
// tokens.
void read_samples(const Dataset& dataset, int64_t count) {
  using Clock = std::chrono::steady_clock;
  const auto end = Clock::now() + std::chrono::milliseconds(500);
  const int64_t all = std::min(count, dataset.samples(Split::training));
  constexpr int64_t at_once = 256;
  std::vector<int64_t> numbers;
  for (int64_t first = 0; first < all && (first == 0 || Clock::now() < end); first += at_once) {
    numbers.resize(static_cast<size_t>(std::min(at_once, all - first)));
    std::iota(numbers.begin(), numbers.end(), first);
    dataset.batch(Split::training, numbers);
  }
}

// Whether a product of an encoder's microbatch reaches 2^24 multiplications: large ones run other code, with buffers of
// its own (models/blocks/functions.cpp). Models without such keys have no such products.
bool has_large_products(const RunSettings& settings) {
  const auto dataset = make_dataset(settings);
  make_model(settings, *dataset);  // asks for its keys
  const std::map<std::string, std::string> values = settings.config.resolved_values();
  const auto number = [&](const std::string& key) {
    const auto found = values.find("model." + key);
    return found == values.end() ? 0.0 : std::strtod(found->second.c_str(), nullptr);
  };
  const double rows = static_cast<double>(settings.parallel.batch.microbatch_size * dataset->sample_length());
  const double readout = dataset->predicted_share() * number("vocabulary");
  return rows * number("width") * std::max(number("feed_forward"), readout) >= (1 << 24);
}

}  // namespace

double measure_data(const RunSettings& settings) {
  const double before = resident_bytes();
  try {
    const auto dataset = make_dataset(settings);
    dataset->open();
    read_samples(*dataset, settings.steps * settings.parallel.batch_shape().samples_per_step());
    return std::max(0.0, resident_bytes() - before);
  } catch (const Error&) {
    return 0;  // a plan can be made where the data is not
  }
}

EmptyRank measure_empty_rank(const RunSettings& settings) {
  // Whatever launched this process must not take the child for one of its ranks: an environment of its own.
  std::vector<std::string> environment{"OMP_NUM_THREADS=1", "OMPI_ALLOW_RUN_AS_ROOT=1",
                                       "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1"};
  for (const char* name : {"PATH", "HOME"})
    if (const char* value = std::getenv(name)) environment.push_back(message(name, "=", value));
  const std::optional<std::string> answer =
      output_of({"/proc/self/exe", "doctor", "--rank-memory", settings.model_name,
                 std::string(name_of(settings.precision)), has_large_products(settings) ? "large" : "small"},
                std::move(environment));
  EmptyRank rank;
  if (!answer) return rank;
  std::istringstream(*answer) >> rank.bytes >> rank.of_files;
  return rank;
}

}  // namespace interlock
