#include "launch/completion/words.h"

#include <CLI/CLI.hpp>
#include <sstream>

namespace interlock {
namespace {

// CLI11 tells a closed list in the name of the option's type: "TEXT:{error,replace}".
std::vector<std::string> choices_of(const CLI::Option& option) {
  const std::string type = option.get_type_name();
  const size_t begin = type.find('{'), end = type.find('}');
  std::vector<std::string> choices;
  if (begin == std::string::npos || end == std::string::npos || end < begin) return choices;
  std::istringstream list(type.substr(begin + 1, end - begin - 1));
  for (std::string one; std::getline(list, one, ',');) choices.push_back(one);
  return choices;
}

CompletedOption completed_option(const CLI::Option& option) {
  CompletedOption completed;
  for (const std::string& name : option.get_snames()) completed.names.push_back("-" + name);
  for (const std::string& name : option.get_lnames()) completed.names.push_back("--" + name);
  completed.summary = option.get_description();
  completed.takes_value = option.get_items_expected_max() > 0;
  completed.choices = choices_of(option);
  const std::string type = option.get_type_name();
  completed.takes_file =
      type.starts_with("FILE") || type.starts_with("DIR") || type.starts_with("PATH") || type.starts_with("PREFIX");
  completed.takes_key = !option.get_lnames().empty() && option.get_lnames().front() == "set";
  return completed;
}

}  // namespace

CompletedCommand completed_command(const CLI::App& app, const std::string& path) {
  CompletedCommand command{path, app.get_description(), {}, {}, {}};
  for (const CLI::Option* option : app.get_options()) {
    if (option->get_group().empty()) continue;  // hidden
    if (option->nonpositional()) {
      command.options.push_back(completed_option(*option));
    } else {
      const auto choices = choices_of(*option);
      command.choices.insert(command.choices.end(), choices.begin(), choices.end());
    }
  }
  for (const CLI::App* part : app.get_subcommands([](const CLI::App*) { return true; }))
    command.commands.push_back(completed_command(*part, path + (path.empty() ? "" : " ") + part->get_name()));
  return command;
}

std::vector<const CompletedCommand*> all_commands(const CompletedCommand& program) {
  std::vector<const CompletedCommand*> all{&program};
  for (const CompletedCommand& command : program.commands)
    for (const CompletedCommand* one : all_commands(command)) all.push_back(one);
  return all;
}

}  // namespace interlock
