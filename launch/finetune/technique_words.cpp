#include "launch/finetune/technique_words.h"

#include "runtime/core/config.h"
#include "runtime/core/error.h"
#include "runtime/core/printable.h"

namespace interlock {
namespace {

// At commas that stand in no brackets and no quotes.
std::vector<std::string> at_commas(const std::string& text) {
  std::vector<std::string> parts(1);
  int depth = 0;
  char quote = 0;
  for (const char letter : text) {
    if (quote != 0) {
      if (letter == quote) quote = 0;
    } else if (letter == '"' || letter == '\'') {
      quote = letter;
    } else if (letter == '[' || letter == '{') {
      ++depth;
    } else if (letter == ']' || letter == '}') {
      --depth;
    }
    if (letter == ',' && depth == 0 && quote == 0) {
      parts.emplace_back();
    } else {
      parts.back() += letter;
    }
  }
  return parts;
}

std::string toml_value(const std::string& text) {
  try {
    Config::from_text("value = " + text);
    return text;
  } catch (const Error&) {
    return toml_quoted(text, "--technique");
  }
}

std::string table_of(const std::string& word) {
  const size_t colon = word.find(':');
  const std::string name = word.substr(0, colon);
  if (name.empty()) throw Error(ExitCode::usage, message("--technique ", word, ": begins with no name"));
  std::string table = "{name = " + toml_quoted(name, "--technique");
  if (colon == std::string::npos) return table + "}";
  for (const std::string& option : at_commas(word.substr(colon + 1))) {
    const size_t equals = option.find('=');
    if (equals == 0 || equals == std::string::npos || equals + 1 == option.size())
      throw Error(ExitCode::usage, message("--technique ", word, ": \"", option,
                                           "\" is no option; NAME:OPTION=VALUE,OPTION=VALUE is expected"));
    table += ", " + option.substr(0, equals) + " = " + toml_value(option.substr(equals + 1));
  }
  return table + "}";
}

}  // namespace

std::string technique_override(const std::vector<std::string>& words) {
  std::string list;
  for (const std::string& word : words) list += (list.empty() ? "" : ", ") + table_of(word);
  return "technique=[" + list + "]";
}

}  // namespace interlock
