// plain_training CONFIG [--set KEY=VALUE ...] [--threads n]: the run of a config as one process and plain autograd (the
// truth of the tests), without engine, plan or transport. Prints one JSON line per step, and the validation loss.

#include <ATen/Parallel.h>

#include <CLI/CLI.hpp>
#include <iostream>
#include <nlohmann/json.hpp>

#include "launch/settings/parts.h"
#include "runtime/core/log.h"
#include "tests/support/reference.h"

int main(int argc, char** argv) {
  using namespace interlock;
  std::string config;
  std::vector<std::string> overrides;
  int threads = 1;
  CLI::App app("Trains a config in one process by plain autograd.");
  app.add_option("config", config)->required();
  app.add_option("--set", overrides)->allow_extra_args(false);
  app.add_option("--threads", threads);
  CLI11_PARSE(app, argc, argv);
  at::set_num_threads(threads);
  try {
    RunSettings settings = read_settings(Config::from_file(config, overrides));
    check_settings(settings);
    const ReferenceResult result = train_reference(settings);
    for (size_t step = 0; step < result.losses.size(); ++step)
      std::cout << nlohmann::json{{"step", step + 1}, {"loss", result.losses[step]}}.dump() << "\n";
    std::cout << nlohmann::json{{"validation_loss", result.validation_loss}}.dump() << std::endl;
  } catch (const Error& error) {
    say_error(error.what());
    return static_cast<int>(error.code());
  }
}
