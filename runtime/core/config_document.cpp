// Reading a TOML text, overrides, finding values, and the places that messages name.

#include "runtime/core/config_document.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>
#include <sstream>

#include "runtime/core/error.h"
#include "runtime/core/printable.h"
#include "runtime/core/toml_depth.h"

namespace interlock {
namespace {

// "a.b[0].c" -> "a", "b", "[0]", "c".
std::vector<std::string> steps_of(const std::string& path) {
  std::vector<std::string> steps;
  std::string step;
  for (const char c : path) {
    if (c == '.' || c == '[') {
      if (!step.empty()) steps.push_back(step);
      step.clear();
      if (c == '.') continue;
    }
    step += c;
  }
  if (!step.empty()) steps.push_back(step);
  return steps;
}

bool is_index(const std::string& step) { return step.size() > 2 && step.front() == '[' && step.back() == ']'; }

bool is_bare_key(const std::string& key) {
  return !key.empty() &&
         std::all_of(key.begin(), key.end(), [](unsigned char c) { return std::isalnum(c) || c == '_' || c == '-'; });
}

// Steps down by one key or index; null when there is nothing of that name below `node`.
template <class Node>
Node* below(Node& node, const std::string& step) {
  if (auto* table = node.as_table()) return table->get(step);
  auto* array = node.as_array();
  if (!array || !is_index(step)) return nullptr;
  size_t index = 0;
  const char* end = step.data() + step.size() - 1;
  return std::from_chars(step.data() + 1, end, index).ptr == end ? array->get(index) : nullptr;
}

std::string trimmed(const std::string& text) {
  const size_t first = text.find_first_not_of(" \t"), last = text.find_last_not_of(" \t");
  return first == std::string::npos ? "" : text.substr(first, last - first + 1);
}

std::string parse_failure(const toml::parse_error& error) { return printable(error.description()); }

// The value of an override: TOML, or a bare word as a string. What begins like a list, table or quoted string but is
// not legal is an error, not a word.
toml::table override_value(const std::string& name, const std::string& text) {
  const std::string where = "--set " + name + ": ";
  if (text.empty())
    throw Error(ExitCode::config, where + "no value; write --set " + name + "=VALUE (an empty string is '\"\"')");
  if (text.find('\n') != std::string::npos) throw Error(ExitCode::config, where + "a value must stand on one line");
  check_toml_depth(text, where.substr(0, where.size() - 2));
  try {
    return toml::parse("value = " + text);
  } catch (const toml::parse_error& error) {
    if (std::string_view("[{\"'").find(text[0]) != std::string_view::npos)
      throw Error(ExitCode::config, where + printable(text) + " is not a TOML value: " + parse_failure(error));
  }
  try {
    // A bare word is a string; read as a literal one, so that what is not UTF-8 is refused as in a file.
    return toml::parse("value = '''" + text + "'''");
  } catch (const toml::parse_error& error) {
    throw Error(ExitCode::config, where + "not a TOML value, nor text in UTF-8: " + parse_failure(error));
  }
}

}  // namespace

void ConfigDocument::parse(std::string_view toml) {
  check_toml_depth(toml, printable(file));
  try {
    root = toml::parse(toml, file);
  } catch (const toml::parse_error& error) {
    const auto& at = error.source().begin;
    throw Error(ExitCode::config,
                message(printable(file), ":", at.line, ":", at.column, ": not valid TOML: ", parse_failure(error)));
  }
}

void ConfigDocument::apply_override(const std::string& text) {
  const size_t equals = text.find('=');
  const std::string name = trimmed(text.substr(0, equals));
  const bool gap = name.starts_with('.') || name.ends_with('.') || name.find("..") != std::string::npos;
  if (equals == std::string::npos || name.empty() || gap)
    throw Error(ExitCode::config, "--set " + printable(text) + ": write section.key=VALUE");
  const auto steps = steps_of(name);
  if (steps.size() > most_toml_depth)
    throw Error(ExitCode::config, message("--set ", printable(steps.front()), "...: a key of ", steps.size(),
                                          " parts; no key of ours has more than ", most_toml_depth));
  toml::node* node = &root;
  for (size_t i = 0; i < steps.size(); ++i) {
    const bool last = i + 1 == steps.size();
    if (!is_index(steps[i]) && !is_bare_key(steps[i]))
      throw Error(ExitCode::config, "--set " + printable(name) + ": \"" + printable(steps[i]) +
                                        "\" is not a key; write section.key=VALUE");
    if (auto* table = node->as_table(); table && !is_index(steps[i])) {
      if (last) {
        auto parsed = override_value(name, trimmed(text.substr(equals + 1)));
        table->insert_or_assign(steps[i], std::move(*parsed.get("value")));
      } else if (!table->get(steps[i])) {
        table->insert(steps[i], toml::table{});
      }
    }
    toml::node* next = below(*node, steps[i]);
    if (next && last && node->is_array())
      throw Error(ExitCode::config,
                  "--set " + name + ": one element cannot be replaced; set a key of it or the whole list");
    if (!next)
      throw Error(ExitCode::config, "--set " + name + ": there is no " + steps[i] + " to set in " + describe(*node) +
                                        " of " + printable(file));
    node = next;
  }
  overridden.push_back(name);
  std::erase_if(as_said, [&](const auto& earlier) { return earlier.first.starts_with(name + "."); });
  as_said[name] = trimmed(text.substr(equals + 1));
}

const std::string* ConfigDocument::said_text(const std::string& path) const {
  const auto found = as_said.find(path);
  const toml::node* node = find(path);
  return found == as_said.end() || node == nullptr || node->is_array() || node->is_table() ? nullptr : &found->second;
}

const toml::node* ConfigDocument::find(const std::string& path) const {
  const toml::node* node = &root;
  std::string walked;
  for (const auto& step : steps_of(path)) {
    if (!node->is_table() && !node->is_array())
      refuse(walked, "a section is expected here, found " + describe(*node) + "; write [" + walked + "]");
    node = below(*node, step);
    if (!node) return nullptr;
    walked += (walked.empty() || is_index(step) ? "" : ".") + step;
  }
  return node;
}

const std::string* ConfigDocument::override_of(const std::string& path) const {
  // A later override wins; one of a key below made the section when the file lacks it.
  for (auto it = overridden.rbegin(); it != overridden.rend(); ++it) {
    const bool inside = path.compare(0, it->size(), *it) == 0 &&
                        (path.size() == it->size() || path[it->size()] == '.' || path[it->size()] == '[');
    if (inside) return &*it;
  }
  return nullptr;
}

std::string ConfigDocument::place(const std::string& path) const {
  if (override_of(path)) return "--set " + printable(path);
  const toml::node* node = &root;
  for (const auto& step : steps_of(path)) {
    const toml::node* next = below(*node, step);
    if (!next) return printable(file + ": " + path);
    node = next;
  }
  const auto line = node->source().begin.line;
  if (line == 0) return "--set " + printable(path);  // a section that only an override made
  return message(printable(file), ":", line, ": ", printable(path));
}

void ConfigDocument::refuse(const std::string& path, const std::string& what) const {
  throw Error(ExitCode::config, place(path) + ": " + what);
}

std::string describe(const toml::node& node) {
  if (const auto* text = node.as_string()) return "the string " + toml_text(text->get());
  if (const auto* integer = node.as_integer()) return message("the integer ", integer->get());
  if (const auto* number = node.as_floating_point()) return "the number " + toml_number(number->get());
  if (const auto* flag = node.as_boolean()) return flag->get() ? "true" : "false";
  if (node.is_array()) return "a list";
  if (node.is_table()) return "a table";
  return "a date or time";
}

std::optional<int64_t> whole_number(const toml::node& node) {
  if (const auto* integer = node.as_integer()) return integer->get();
  const auto* number = node.as_floating_point();
  constexpr double exact = 1LL << 53;  // from here on neighbours are more than 1 apart
  if (number == nullptr || std::trunc(number->get()) != number->get() || std::abs(number->get()) > exact)
    return std::nullopt;
  return static_cast<int64_t>(number->get());
}

std::string toml_text(const std::string& value) {
  static constexpr char digits[] = "0123456789abcdef";
  std::string text = "\"";
  for (const char c : value) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      text += '\\';
      text += c;
    } else if (byte < 0x20 || byte == 0x7f) {
      text += std::string("\\u00") + digits[byte >> 4] + digits[byte & 15];
    } else {
      text += c;
    }
  }
  return printable(text + '"');  // what is left are C1 controls, which TOML takes escaped too
}

std::string toml_number(double value) {
  char buffer[32];
  const auto [end, failure] = std::to_chars(buffer, buffer + sizeof buffer, value);  // the shortest that reads back
  std::string text(buffer, end);
  const bool looks_integer = text.find_first_not_of("-0123456789") == std::string::npos;
  return looks_integer ? text + ".0" : text;
}

}  // namespace interlock
