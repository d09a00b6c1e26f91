// The command line: finds the subcommand, and turns what went wrong into one message and a documented exit code.

#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cctype>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <iostream>
#include <map>
#include <memory>
#include <span>
#include <sstream>
#include <thread>

#include "launch/command.h"
#include "launch/run/failure.h"
#include "launch/supervisor/stop_request.h"
#include "launch/terminal/printable_output.h"
#include "launch/version/version.h"
#include "parallel/transport/launch_place.h"
#include "runtime/core/error.h"
#include "runtime/core/likely_keys.h"
#include "runtime/core/log.h"
#include "runtime/core/nearest_name.h"
#include "runtime/core/printable.h"

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

// The help of the command that the words lead to; of all where there are none.
std::string help_of(const CLI::App& app, std::span<char* const> words) {
  const CLI::App* asked = &app;
  std::string names;  // of the commands above it, as the usage line shows them
  for (const char* word : words) {
    const auto found = asked->get_subcommands([&](const CLI::App* one) { return one->get_name() == word; });
    if (found.empty()) break;
    names += (names.empty() ? "" : " ") + asked->get_name();
    asked = found.front();
  }
  return asked->help(names);
}

// The words that name a command, for messages: "tokenize encode".
std::string name_of(const CLI::App& app) {
  const auto chosen = app.get_subcommands();
  if (chosen.empty()) return "";
  const std::string inner = name_of(*chosen.front());
  return chosen.front()->get_name() + (inner.empty() ? "" : " " + inner);
}

// "-V", "--steps"; not "-1".
bool is_option(const std::string& word) {
  return word.size() > 1 && word[0] == '-' && word != "--" && !std::isdigit(static_cast<unsigned char>(word[1]));
}

// Of the options that the command in `words` does not have, the first, and what takes its place: a key of the config is
// set with --set. "": all are known.
std::string unknown_option(CLI::App& app, std::span<char* const> words) {
  CLI::App* command = &app;
  while (!command->get_subcommands().empty()) command = command->get_subcommands().front();
  const std::string of = command == &app ? app.get_name() : name_of(app);
  for (size_t i = 0; i < words.size(); ++i) {
    const std::string word = words[i], name = word.substr(0, word.find('='));
    if (!is_option(name) || command->get_option_no_throw(name) != nullptr) continue;
    const bool apart = i + 1 < words.size() && words[i + 1][0] != '-';
    const std::string value = name.size() < word.size() ? word.substr(name.size() + 1) : apart ? words[i + 1] : "VALUE";
    const std::string said = interlock::message("no such option of ", of, ": ", name);
    const std::string key = interlock::likely_key(name.substr(2));
    if (!key.empty() && command->get_option_no_throw("--set") != nullptr) {
      const size_t note = key.find(' ');
      return said + "; write --set " + key.substr(0, note) + "=" + value +
             (note == std::string::npos ? "" : key.substr(note));
    }
    if (command == &app) return said + "; `interlock --help` says more";
    std::vector<std::string> known;
    for (const CLI::Option* option : command->get_options())
      for (const std::string& one : option->get_lnames()) known.push_back("--" + one);
    const std::string nearest = interlock::nearest_name(name, known);
    return said + (nearest.empty() ? "" : "; did you mean " + nearest + "?") + "; `interlock help " + of +
           "` says more";
  }
  const auto left_over = command->remaining();
  if (left_over.empty() || left_over[0].find('=') == std::string::npos || !command->get_option_no_throw("--set"))
    return "";
  return interlock::message(of, ": ", left_over[0], " stands alone; write --set ", left_over[0]);
}

// What a command printed is part of what it was asked for; a full disk behind `> file` shows here.
int with_output_written(int code) {
  errno = 0;
  if (std::cout.flush() && interlock::raw_output().good()) return code;
  const std::string reason = errno != 0 ? std::string(": ") + std::strerror(errno) : "";
  return say("cannot write to standard output" + reason, interlock::ExitCode::cannot_write);
}

// In a folder that was deleted the libraries fail before main, in words about themselves. Nothing but the kernel's
// calls.
void refuse_deleted_folder() {
  static char where[4096];
  if (syscall(SYS_getcwd, where, sizeof where) >= 0 || errno != ENOENT) return;
  constexpr char text[] =
      "interlock: error: the working folder does not exist any more: it was deleted or moved; change into one that is "
      "there (cd)\n";
  [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, text, sizeof text - 1);
  _exit(static_cast<int>(interlock::ExitCode::bad_input));
}

// The constructors of the libraries take a tenth of a second, on a busy file system many, and a batch system may ask a
// rank to stop meanwhile. What stands in this section runs before them.
void before_libraries(int, char**, char**) {
  interlock::hold_stop_requests();
  refuse_deleted_folder();
  signal(SIGUSR2, SIG_IGN);  // whoever asks all ranks where they stand must not end those that cannot say it yet
}
[[gnu::section(".preinit_array"), gnu::used]] void (*const first_of_all)(int, char**, char**) = before_libraries;

// Ranks of a launcher mostly read the same words, before any of them has met another: rank 0 says what is wrong with
// them and ends, and launchers then end all. Who is still there after that has words of its own.
void let_rank_zero_speak() {
  if (interlock::launch_place().rank != 0) std::this_thread::sleep_for(std::chrono::seconds(3));
}

int say_usage(const std::string& text) {
  let_rank_zero_speak();
  return say(text, interlock::ExitCode::usage);
}

// Help and version, which CLI11 tells as problems too, are none.
int say_usage(const CLI::App& app, const CLI::ParseError& problem) {
  if (problem.get_exit_code() == 0) {
    std::ostringstream nothing;
    return with_output_written(app.exit(problem, std::cout, nothing));
  }
  const std::string command = name_of(app), of = command.empty() ? "" : command + ": ";
  return say_usage(of + problem.what() + "; `interlock help" + (command.empty() ? "" : " " + command) + "` says more");
}

// An exception on a thread of its own, or while another is under way: nothing catches it any more.
[[noreturn]] void say_last_word() {
  if (!std::current_exception()) std::abort();
  try {
    std::rethrow_exception(std::current_exception());
  } catch (...) {
    const interlock::Error error = interlock::last_error("");
    interlock::say_error(error.what());
    std::_Exit(static_cast<int>(error.code()));
  }
}

int perform(int argc, char** argv, interlock::PrintableOutput& output, std::string& called) {
  using namespace interlock;
  CLI::App app("Interlock trains a network as a pipeline of MPI ranks under local, interlocking or global learning.",
               "interlock");
  app.set_version_flag("--version", version_line);
  app.require_subcommand(1);
  std::map<CLI::App*, std::unique_ptr<Command>> commands;
  for (const std::string& name : Commands::instance().names()) {
    auto command = Commands::instance().create("command", name);
    CLI::App* sub = app.add_subcommand(name, command->summary());
    command->declare(*sub);
    commands.emplace(sub, std::move(command));
  }
  std::span<char* const> words = std::span(argv, argc).subspan(std::min(argc, 1));
  const bool asks_help = !words.empty() && std::string_view(words[0]) == "help";
  if (asks_help) words = words.subspan(1);
  const std::string unknown = unknown_command(app, words);
  if (!unknown.empty()) return say_usage(unknown + ". `interlock --help` says more");
  app.add_subcommand("help", "say what a command is for and what it takes: interlock help COMMAND");  // done below
  if (asks_help || words.empty()) {
    if (!asks_help) let_rank_zero_speak();
    std::cout << help_of(app, words);
    return with_output_written(asks_help ? 0 : static_cast<int>(ExitCode::usage));
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& problem) {
    const bool odd_words = dynamic_cast<const CLI::ExtrasError*>(&problem) != nullptr || app.get_subcommands().empty();
    const std::string advice = problem.get_exit_code() != 0 && odd_words ? unknown_option(app, words) : "";
    return advice.empty() ? say_usage(app, problem) : say_usage(advice);
  }
  called = name_of(app);
  Command& command = *commands.at(app.get_subcommands().front());
  if (!command.takes_stop_requests()) release_stop_requests();
  const int code = command.run();
  output.finish();
  return with_output_written(code);
}

int perform_or_say_why(int argc, char** argv) {
  interlock::PrintableOutput output;
  std::string command;
  try {
    return perform(argc, argv, output, command);
  } catch (...) {
    const interlock::Error error = interlock::last_error(command);
    return say(error.what(), error.code());
  }
}

// The destructors of the libraries' globals are left out: to take LibTorch's tables of operators apart costs half as
// much as to set them up, 0.15 s of processor time at every end of every rank, and the kernel frees all of it anyway.
// Sanitizers report where a program ends in the usual way.
int end(int code) {
#ifdef INTERLOCK_SANITIZED
  return code;
#else
  interlock::flush_log();
  std::cout.flush();
  std::fflush(nullptr);
  std::_Exit(code);
#endif
}

}  // namespace

int main(int argc, char** argv) {
  signal(SIGXFSZ, SIG_IGN);  // a file size limit is then a write error like any other
  std::set_terminate(say_last_word);
  return end(perform_or_say_why(argc, argv));
}
