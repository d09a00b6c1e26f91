// Typed, checked access to a config document.

#include "runtime/core/config.h"

#include <cassert>
#include <cmath>
#include <set>

#include "runtime/core/config_document.h"
#include "runtime/core/error.h"
#include "runtime/core/nearest_name.h"
#include "runtime/core/printable.h"
#include "runtime/core/readable_file.h"

namespace interlock {
namespace {

std::string child_path(const std::string& section, const std::string& key) {
  return section.empty() ? key : section + "." + key;
}

std::string read_file(const std::string& path) {
  std::string problem;
  if (auto text = read_regular_file(path, most_config_bytes, problem)) return *std::move(text);
  throw Error(ExitCode::config, "cannot read the config file " + printable(path) + ": " + problem);
}

std::string joined(const std::vector<std::string>& parts) { return "[" + join(parts) + "]"; }

// The elements of a list, each through `read`; `expected` is the phrase for messages.
template <class T, class Read>
std::vector<T> list_of(const ConfigDocument& document, const std::string& path, const toml::node& node,
                       const std::string& expected, Read read) {
  const auto* array = node.as_array();
  if (!array) document.refuse(path, expected + " is expected, found " + describe(node));
  std::vector<T> values;
  for (size_t i = 0; i < array->size(); ++i) {
    if (!read((*array)[i], values))
      document.refuse(path,
                      message(expected, " is expected, found ", describe((*array)[i]), " at place ", i, " (from 0)"));
  }
  return values;
}

bool read_number(const toml::node& node, std::vector<double>& values) {
  if (const auto* integer = node.as_integer()) {
    values.push_back(static_cast<double>(integer->get()));
  } else if (const auto* number = node.as_floating_point()) {
    values.push_back(number->get());
  } else {
    return false;
  }
  return true;
}

template <class T, class Print>
std::string printed(const std::vector<T>& values, Print print) {
  std::vector<std::string> parts;
  for (const auto& value : values) parts.push_back(print(value));
  return joined(parts);
}

}  // namespace

Section::Section(std::shared_ptr<ConfigDocument> document, std::string path)
    : document_(std::move(document)), path_(std::move(path)) {
  document_->ask_section(path_);
}

bool Section::has(const std::string& key) const { return document_->find(child_path(path_, key)) != nullptr; }

bool Section::is_text(const std::string& key) const {
  const auto* node = document_->find(child_path(path_, key));
  return node && node->is_string();
}

bool Section::is_list(const std::string& key) const {
  const auto* node = document_->find(child_path(path_, key));
  return node && node->is_array();
}

void Section::refuse(const std::string& key, const std::string& what) const {
  document_->refuse(child_path(path_, key), what);
}

namespace {

// Names of files, folders and choices stand in messages, which they would split or turn round. Those of columns and
// classes come out of tables, and may be anything.
void refuse_controls(const Section& section, const std::string& key, const std::string& value) {
  static const std::set<std::string> of_tables = {"text", "pair", "label", "labels"};
  if (!of_tables.contains(key) && has_controls(value))
    section.refuse(key, message("\"", printable(value), "\" holds a control character"));
}

}  // namespace

std::string Section::text(const std::string& key, const std::string& fallback) const {
  std::string value = fallback;
  if (const auto* node = document_->find(child_path(path_, key))) {
    const std::string* said = node->is_string() ? nullptr : document_->said_text(child_path(path_, key));
    if (said == nullptr && !node->is_string()) refuse(key, "a string is expected, found " + describe(*node));
    value = said != nullptr ? *said : node->as_string()->get();
    refuse_controls(*this, key, value);
  }
  document_->ask_value(path_, key, toml_text(value));
  return value;
}

std::string Section::one_of(const std::string& key, const std::string& fallback,
                            const std::vector<std::string>& choices) const {
  const std::string value = text(key, fallback);
  for (const auto& choice : choices)
    if (choice == value) return value;
  refuse(key, unknown_name(key, value, choices));
}

int64_t Section::integer(const std::string& key, int64_t fallback, int64_t least, int64_t most) const {
  int64_t value = fallback;
  if (const auto* node = document_->find(child_path(path_, key))) {
    const std::optional<int64_t> whole = whole_number(*node);
    if (!whole) refuse(key, "an integer is expected, found " + describe(*node));
    value = *whole;
    if (value < least) refuse(key, message(value, " is too small; the least is ", least));
    if (value > most) refuse(key, message(value, " is too large; the most is ", most));
  }
  document_->ask_value(path_, key, std::to_string(value));
  return value;
}

double Section::number(const std::string& key, double fallback, double least, double most) const {
  double value = fallback;
  if (const auto* node = document_->find(child_path(path_, key))) {
    std::vector<double> read;
    if (!read_number(*node, read)) refuse(key, "a number is expected, found " + describe(*node));
    value = read.front();
    if (!std::isfinite(value)) refuse(key, "a finite number is expected, found " + toml_number(value));
    if (value < least) refuse(key, toml_number(value) + " is too small; the least is " + toml_number(least));
    if (value > most) refuse(key, toml_number(value) + " is too large; the most is " + toml_number(most));
  }
  document_->ask_value(path_, key, toml_number(value));
  return value;
}

bool Section::flag(const std::string& key, bool fallback) const {
  bool value = fallback;
  if (const auto* node = document_->find(child_path(path_, key))) {
    if (!node->is_boolean()) refuse(key, "true or false is expected, found " + describe(*node));
    value = node->as_boolean()->get();
  }
  document_->ask_value(path_, key, value ? "true" : "false");
  return value;
}

std::vector<std::string> Section::texts(const std::string& key, const std::vector<std::string>& fallback) const {
  std::vector<std::string> values = fallback;
  if (const auto* node = document_->find(child_path(path_, key)))
    values = list_of<std::string>(*document_, child_path(path_, key), *node, "a list of strings, as [\"a\", \"b\"],",
                                  [](const toml::node& element, std::vector<std::string>& read) {
                                    if (element.is_string()) read.push_back(element.as_string()->get());
                                    return element.is_string();
                                  });
  for (const std::string& value : values) refuse_controls(*this, key, value);
  document_->ask_value(path_, key, printed(values, toml_text));
  return values;
}

std::vector<int64_t> Section::integers(const std::string& key, const std::vector<int64_t>& fallback) const {
  std::vector<int64_t> values = fallback;
  if (const auto* node = document_->find(child_path(path_, key)))
    values = list_of<int64_t>(*document_, child_path(path_, key), *node, "a list of integers, as [1, 2],",
                              [](const toml::node& element, std::vector<int64_t>& read) {
                                const std::optional<int64_t> whole = whole_number(element);
                                if (whole) read.push_back(*whole);
                                return whole.has_value();
                              });
  document_->ask_value(path_, key, printed(values, [](int64_t value) { return std::to_string(value); }));
  return values;
}

std::vector<double> Section::numbers(const std::string& key, const std::vector<double>& fallback) const {
  std::vector<double> values = fallback;
  if (const auto* node = document_->find(child_path(path_, key)))
    values = list_of<double>(*document_, child_path(path_, key), *node, "a list of numbers, as [1, 0.5],", read_number);
  document_->ask_value(path_, key, printed(values, toml_number));
  return values;
}

std::vector<std::vector<double>> Section::matrix(const std::string& key,
                                                 const std::vector<std::vector<double>>& fallback) const {
  std::vector<std::vector<double>> rows = fallback;
  const std::string path = child_path(path_, key), expected = "a list of rows of numbers, as [[1, 0], [0, 1]],";
  if (const auto* node = document_->find(path))
    rows = list_of<std::vector<double>>(
        *document_, path, *node, expected, [&](const toml::node& row, std::vector<std::vector<double>>& read) {
          if (row.is_array()) read.push_back(list_of<double>(*document_, path, row, expected, read_number));
          return row.is_array();
        });
  document_->ask_value(path_, key, printed(rows, [](const auto& row) { return printed(row, toml_number); }));
  return rows;
}

std::vector<Section> Section::sections(const std::string& key) const {
  const std::string path = child_path(path_, key);
  const toml::node* node = document_->find(path);
  const auto* array = node ? node->as_array() : nullptr;
  if (node && (!array || (!array->empty() && !array->is_homogeneous<toml::table>())))
    refuse(key, "sections are expected here, each under its own [[" + path + "]], found " + describe(*node));
  const size_t count = array ? array->size() : 0;
  document_->ask_tables(path_, key, count);
  std::vector<Section> found;
  for (size_t i = 0; i < count; ++i) found.emplace_back(document_, message(path, "[", i, "]"));
  return found;
}

Config Config::from_file(const std::string& path, const std::vector<std::string>& overrides) {
  auto document = std::make_shared<ConfigDocument>();
  document->file = path;
  document->parse(read_file(path));
  for (const auto& text : overrides) document->apply_override(text);
  return Config(std::move(document));
}

Config Config::from_text(const std::string& toml, const std::vector<std::string>& overrides, const std::string& name) {
  auto document = std::make_shared<ConfigDocument>();
  document->file = name;
  if (toml.size() > most_config_bytes)  // as of a file, whatever it was stored in
    throw Error(ExitCode::config,
                message(name, ": has ", toml.size(), " bytes; a config has ", most_config_bytes, " at most"));
  document->parse(toml);
  for (const auto& text : overrides) document->apply_override(text);
  return Config(std::move(document));
}

Section Config::section(const std::string& name) const {
  if (const auto* node = document_->find(name); node && !node->is_table())
    document_->refuse(name, "a section is expected, found " + describe(*node) + "; write [" + name + "]");
  return Section(document_, name);
}

void Config::reject_unknown() const { document_->reject_unknown(); }
std::string Config::resolved() const { return document_->resolved(); }
std::map<std::string, std::string> Config::resolved_values() const { return document_->resolved_values(); }
const std::string& Config::file() const { return document_->file; }
std::string Config::place(const std::string& path) const { return document_->place(path); }

}  // namespace interlock
