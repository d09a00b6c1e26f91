#include "launch/completion/words.h"

namespace interlock {
namespace {

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : " ") + word;
  return text;
}

std::string name_of(const CompletedCommand& command) { return command.path.substr(command.path.rfind(' ') + 1); }

// What the function below does about a value.
std::string values_of(const CompletedOption& option) {
  if (option.takes_key) return "KEY";
  if (!option.choices.empty()) return joined(option.choices);
  return option.takes_file ? "FILE" : "WORD";
}

// `_commands`, `_options`, `_values`: tables by command ("_" before it, since a subscript may not be empty), and by
// command and option.
constexpr const char* function = R"(_interlock() {
  local current=$2 previous=$3 command= word i
  COMPREPLY=()
  # Bash takes --option=value for three words.
  if [[ $current == = ]]; then
    current=
  elif [[ $previous == = ]]; then
    previous=${COMP_WORDS[COMP_CWORD-2]}
  fi
  for ((i = 1; i < COMP_CWORD; ++i)); do
    word=${COMP_WORDS[i]}
    [[ -z $command && $word == help ]] && continue
    [[ " ${_interlock_commands[_$command]-} " == *" $word "* ]] && command=${command:+$command }$word
  done
  case ${_interlock_values[_$command $previous]-} in
    '') ;;
    KEY)
      compopt -o nospace
      COMPREPLY=($(compgen -S = -W "$_interlock_keys" -- "$current"))
      return ;;
    WORD) return ;;
    FILE)
      compopt -o default
      return ;;
    *)
      COMPREPLY=($(compgen -W "${_interlock_values[_$command $previous]}" -- "$current"))
      return ;;
  esac
  if [[ $current == -* ]]; then
    COMPREPLY=($(compgen -W "${_interlock_options[_$command]}" -- "$current"))
  elif [[ -n ${_interlock_commands[_$command]-} ]]; then
    COMPREPLY=($(compgen -W "${_interlock_commands[_$command]}" -- "$current"))
  else
    compopt -o default
  fi
}
complete -F _interlock interlock
)";

}  // namespace

std::string bash_completion(const CompletionTable& table) {
  std::string script =
      "# Completion of interlock for bash, made by `interlock completion bash`.\n"
      "declare -gA _interlock_commands=() _interlock_options=() _interlock_values=()\n";
  for (const CompletedCommand* command : all_commands(table.program)) {
    const std::string at = "[\"_" + command->path + "\"]=";
    std::vector<std::string> words = command->choices, options;
    for (const CompletedCommand& part : command->commands) words.push_back(name_of(part));
    for (const CompletedOption& option : command->options)
      options.insert(options.end(), option.names.begin(), option.names.end());
    if (!words.empty()) script += "_interlock_commands" + at + "\"" + joined(words) + "\"\n";
    script += "_interlock_options" + at + "\"" + joined(options) + "\"\n";
    for (const CompletedOption& option : command->options) {
      if (!option.takes_value) continue;
      const std::string values = values_of(option);
      for (const std::string& name : option.names)
        script += "_interlock_values[\"_" + command->path + " " + name + "\"]=\"" + values + "\"\n";
    }
  }
  return script + "_interlock_keys=\"" + joined(table.keys) + "\"\n" + function;
}

}  // namespace interlock
