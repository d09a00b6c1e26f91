#pragma once
// What may stand on the command line, as a table for completion scripts.

#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace interlock {

struct CompletedOption {
  std::vector<std::string> names;  // with their dashes
  std::string summary;
  bool takes_value = false;
  bool takes_key = false, takes_file = false;  // a key: KEY=VALUE of a config; neither: a number or a word
  std::vector<std::string> choices;            // the values, where they are a closed list
};

struct CompletedCommand {
  std::string path;  // "tokenize train"; "" of the program itself
  std::string summary;
  std::vector<CompletedOption> options;
  std::vector<std::string> choices;  // of its arguments, where they are a closed list
  std::vector<CompletedCommand> commands;
};

struct CompletionTable {
  CompletedCommand program;
  std::vector<std::string> keys;  // "section.key"
};

// Of a program whose commands are declared.
CompletedCommand completed_command(const CLI::App& app, const std::string& path = "");
// Every command of the table, parents first.
std::vector<const CompletedCommand*> all_commands(const CompletedCommand& program);

// Scripts to be sourced, or put where the shells look for them.
std::string bash_completion(const CompletionTable& table);
std::string zsh_completion(const CompletionTable& table);

}  // namespace interlock
