#include "launch/completion/words.h"

namespace interlock {
namespace {

// 'NAME:SUMMARY' for _describe, in single quotes.
std::string described(const std::string& name, const std::string& summary) {
  std::string text;
  for (const char character : name + ":" + summary) text += character == '\'' ? "'\\''" : std::string(1, character);
  return "'" + text + "'";
}

std::string name_of(const CompletedCommand& command) { return command.path.substr(command.path.rfind(' ') + 1); }

std::string pattern(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : "|") + name;
  return text;
}

std::string values_of(const CompletedOption& option) {
  if (option.takes_key) return "compadd -S = -- $keys";
  if (option.choices.empty()) return option.takes_file ? "_files" : "_message value";
  std::string text = "compadd --";
  for (const std::string& choice : option.choices) text += " " + choice;
  return text;
}

void add_command(const CompletedCommand& command, std::string& script) {
  script += "    '" + command.path + "')\n      options=(";
  for (const CompletedOption& option : command.options)
    for (const std::string& name : option.names) script += "\n        " + described(name, option.summary);
  script += ")\n      commands=(";
  for (const CompletedCommand& part : command.commands) script += "\n        " + described(name_of(part), part.summary);
  for (const std::string& choice : command.choices) script += " " + choice;
  script += ")\n      case $words[CURRENT-1] in\n";
  for (const CompletedOption& option : command.options)
    if (option.takes_value) script += "        " + pattern(option.names) + ") " + values_of(option) + "; return ;;\n";
  script += "      esac ;;\n";
}

}  // namespace

std::string zsh_completion(const CompletionTable& table) {
  std::string script =
      "#compdef interlock\n"
      "# Completion of interlock for zsh, made by `interlock completion zsh`.\n"
      "_interlock() {\n"
      "  local command word\n"
      "  local -a options commands keys names\n"
      "  keys=(";
  for (const std::string& key : table.keys) script += " " + key;
  script += ")\n  names=(";
  for (const CompletedCommand* command : all_commands(table.program))
    if (!command->path.empty()) script += " '" + command->path + "'";
  script +=
      ")\n"
      "  for word in ${words[2,CURRENT-1]}; do\n"
      "    [[ -z $command && $word == help ]] && continue\n"
      "    (( ${names[(Ie)${command:+$command }$word]} )) && command=${command:+$command }$word\n"
      "  done\n"
      "  case $command in\n";
  for (const CompletedCommand* command : all_commands(table.program)) add_command(*command, script);
  script +=
      "  esac\n"
      "  if [[ $PREFIX == -* ]]; then\n"
      "    _describe -o option options\n"
      "  elif (( $#commands )); then\n"
      "    _describe command commands\n"
      "  else\n"
      "    _files\n"
      "  fi\n"
      "}\n"
      // Called by the completion system as the file that holds it, or sourced.
      "if [[ $funcstack[1] == _interlock ]]; then _interlock \"$@\"; else compdef _interlock interlock; fi\n";
  return script;
}

}  // namespace interlock
