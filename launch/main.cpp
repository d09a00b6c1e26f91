// The command line: finds the subcommand, and turns what went wrong into one message and a documented exit code.

#include <signal.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <iostream>
#include <map>
#include <memory>
#include <span>

#include "launch/command.h"
#include "launch/run/failure.h"
#include "launch/supervisor/stop_request.h"
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

// What to say of a word that stands where a command of `app` is expected, and names none; "" when all is well. CLI11
// would only say that a subcommand is missing.
std::string unknown_command(const CLI::App& app, std::span<char* const> words) {
  const auto commands = app.get_subcommands([](const CLI::App*) { return true; });
  if (commands.empty() || words.empty() || words[0][0] == '-') return "";
  std::vector<std::string> names;
  for (const CLI::App* command : commands) {
    if (command->get_name() == words[0]) return unknown_command(*command, words.subspan(1));
    names.push_back(command->get_name());
  }
  const std::string of = app.get_parent() == nullptr ? "" : " of " + app.get_name();
  return interlock::unknown_name("command" + of, words[0], names);
}

// What a command printed is part of what it was asked for; a full disk behind `> file` shows here.
int with_output_written(int code) {
  errno = 0;
  if (std::cout.flush()) return code;
  const std::string reason = errno != 0 ? std::string(": ") + std::strerror(errno) : "";
  return say("cannot write to standard output" + reason, interlock::ExitCode::cannot_write);
}

// The constructors of the libraries take a tenth of a second, on a busy file system many, and a batch system may ask a
// rank to stop meanwhile. What stands in this section runs before them.
void before_libraries(int, char**, char**) {
  interlock::hold_stop_requests();
  signal(SIGUSR2, SIG_IGN);  // whoever asks all ranks where they stand must not end those that cannot say it yet
}
[[gnu::section(".preinit_array"), gnu::used]] void (*const first_of_all)(int, char**, char**) = before_libraries;

}  // namespace

int main(int argc, char** argv) {
  using namespace interlock;
  signal(SIGXFSZ, SIG_IGN);  // a file size limit is then a write error like any other
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
  const std::string unknown = unknown_command(app, std::span(argv, argc).subspan(std::min(argc, 1)));
  if (!unknown.empty()) return say(unknown + ". `interlock --help` says more", ExitCode::usage);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& problem) {
    const int code = app.exit(problem);
    return code == 0 ? 0 : static_cast<int>(ExitCode::usage);
  }
  try {
    Command& command = *commands.at(app.get_subcommands().front());
    if (!command.takes_stop_requests()) release_stop_requests();
    return with_output_written(command.run());
  } catch (...) {
    const Error error = as_error();
    return say(error.what(), error.code());
  }
}
