// The command line: finds the subcommand, and turns what went wrong into one message and a documented exit code.

#include <signal.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <iostream>
#include <map>
#include <memory>

#include "launch/command.h"
#include "launch/run/failure.h"
#include "runtime/core/error.h"
#include "runtime/core/log.h"
#include "runtime/core/nearest_name.h"

namespace {

int say(const std::string& text, interlock::ExitCode code) {
  interlock::flush_log();
  std::cout.flush();
  interlock::say_error(text);
  return static_cast<int>(code);
}

// CLI11 would only say that a subcommand is missing.
bool names_no_command(int argc, char** argv) {
  if (argc < 2 || argv[1][0] == '-') return false;
  const auto known = interlock::Commands::instance().names();
  return std::find(known.begin(), known.end(), argv[1]) == known.end();
}

// What a command printed is part of what it was asked for; a full disk behind `> file` shows here.
int with_output_written(int code) {
  errno = 0;
  if (std::cout.flush()) return code;
  const std::string reason = errno != 0 ? std::string(": ") + std::strerror(errno) : "";
  return say("cannot write to standard output" + reason, interlock::ExitCode::cannot_write);
}

}  // namespace

int main(int argc, char** argv) {
  using namespace interlock;
  signal(SIGXFSZ, SIG_IGN);  // a file size limit is then a write error like any other
  if (names_no_command(argc, argv))
    return say(unknown_name("command", argv[1], Commands::instance().names()) + ". `interlock --help` says more",
               ExitCode::usage);
  CLI::App app("Interlock trains a network as a pipeline of MPI ranks under local, interlocking or global learning.",
               "interlock");
  app.set_version_flag("--version", INTERLOCK_VERSION);
  app.require_subcommand(1);
  std::map<CLI::App*, std::unique_ptr<Command>> commands;
  for (const std::string& name : Commands::instance().names()) {
    auto command = Commands::instance().create("command", name);
    CLI::App* sub = app.add_subcommand(name, command->summary());
    command->declare(*sub);
    commands.emplace(sub, std::move(command));
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& problem) {
    const int code = app.exit(problem);
    return code == 0 ? 0 : static_cast<int>(ExitCode::usage);
  }
  try {
    return with_output_written(commands.at(app.get_subcommands().front())->run());
  } catch (...) {
    const Error error = as_error();
    return say(error.what(), error.code());
  }
}
