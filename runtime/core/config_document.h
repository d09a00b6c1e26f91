#pragma once
// The parsed file behind Config and Section: values by path, where each stands, what has been asked for. A path is
// written as people read it: "learning.horizon", "learning.change[0].rule". Included by the two config sources only.

#include <map>
#include <mutex>
#include <optional>
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
  std::vector<std::string> overridden;         // paths set by overrides, in order
  std::map<std::string, std::string> as_said;  // by such a path: the text of its value, as on the command line
  mutable std::mutex mutex;                    // ranks that are threads ask at the same time; guards `asked`
  std::vector<Asked> asked;

  void parse(std::string_view toml);
  void apply_override(const std::string& text);

  // The node at `path`, or null. Error(config) when a part of the way is there but is no table.
  const toml::node* find(const std::string& path) const;
  // What the command line has for a key where a text is wanted: 42 is one there, and in a file it is not. Null: the key
  // was not overridden, or with a list or a table.
  const std::string* said_text(const std::string& path) const;
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
// An integer, or a number that is one, as 1e3; null for all else.
std::optional<int64_t> whole_number(const toml::node& node);
// Values as TOML; numbers so that reading them gives the same bits.
std::string toml_text(const std::string& value);
std::string toml_number(double value);

}  // namespace interlock
