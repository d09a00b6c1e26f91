#pragma once
// The parsed file behind Config and Section: values by path, where each stands, what has been asked for. A path is
// written as people read it: "learning.horizon", "learning.change[0].rule". Included by the two config sources only.

#include <map>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <toml++/toml.h>

namespace interlock {

struct ConfigDocument {
  // What one section was asked for, in order of first ask.
  struct Asked {
    std::string path;
    std::vector<std::pair<std::string, std::string>> values;  // key, value as TOML
    std::set<std::string> tables;                             // keys of arrays of tables
  };

  std::string file;
  toml::table root;
  std::vector<std::string> overridden;  // paths set by overrides, in order
  mutable std::mutex mutex;             // ranks that are threads ask at the same time; guards `asked`
  std::vector<Asked> asked;

  void parse(std::string_view toml);
  void apply_override(const std::string& text);

  // The node at `path`, or null. Error(config) when a part of the way is there but is no table.
  const toml::node* find(const std::string& path) const;
  // "file.toml:12: learning.horizon" or "--set learning.horizon".
  std::string place(const std::string& path) const;
  [[noreturn]] void refuse(const std::string& path, const std::string& what) const;

  void ask_section(const std::string& path);
  void ask_value(const std::string& section, const std::string& key, const std::string& value);
  void ask_tables(const std::string& section, const std::string& key, size_t count);

  void reject_unknown() const;
  std::string resolved() const;
  std::map<std::string, std::string> resolved_values() const;

 private:
  Asked& asked_of(const std::string& path);
  std::string advice_for_key(const std::string& section, const std::string& key) const;
  const std::string* override_of(const std::string& path) const;
};

// For messages: `the string "two"`, `the integer 3`, `a table`.
std::string describe(const toml::node& node);
// Values as TOML; numbers so that reading them gives the same bits.
std::string toml_text(const std::string& value);
std::string toml_number(double value);

}  // namespace interlock
