#pragma once
// A strict TOML config. A part asks its Section for the keys it knows, with default and range; what nobody asked for is
// an error with the nearest name; what was asked for, with the value it got, is the resolved config that a run stores.
// Every message names the file, the line where there is one, and the key as `section.key`. All failures are
// Error(config).

#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace interlock {

struct ConfigDocument;  // the parsed file and the record of what was asked for; config.cpp only

class Section {
 public:
  Section(std::shared_ptr<ConfigDocument> document, std::string path);

  bool has(const std::string& key) const;
  // Asking for the same key twice with the same default is fine. An integer is accepted where a number is asked for.
  std::string text(const std::string& key, const std::string& fallback) const;
  std::string one_of(const std::string& key, const std::string& fallback,
                     const std::vector<std::string>& choices) const;
  int64_t integer(const std::string& key, int64_t fallback, int64_t least = std::numeric_limits<int64_t>::min(),
                  int64_t most = std::numeric_limits<int64_t>::max()) const;
  double number(const std::string& key, double fallback, double least = -std::numeric_limits<double>::infinity(),
                double most = std::numeric_limits<double>::infinity()) const;
  bool flag(const std::string& key, bool fallback) const;
  std::vector<std::string> texts(const std::string& key, const std::vector<std::string>& fallback) const;
  std::vector<int64_t> integers(const std::string& key, const std::vector<int64_t>& fallback) const;
  std::vector<double> numbers(const std::string& key, const std::vector<double>& fallback) const;
  std::vector<std::vector<double>> matrix(const std::string& key,
                                          const std::vector<std::vector<double>>& fallback) const;
  bool is_text(const std::string& key) const;                   // for keys that take a word or a list
  bool is_list(const std::string& key) const;                   // for keys that take a number or a list
  std::vector<Section> sections(const std::string& key) const;  // an array of tables, in order; empty when absent
  // An Error(config) about this key: its place in the file, then `what`.
  [[noreturn]] void refuse(const std::string& key, const std::string& what) const;
  const std::string& path() const { return path_; }

 private:
  std::shared_ptr<ConfigDocument> document_;
  std::string path_;
};

class Config {
 public:
  // Reads a TOML file and applies `overrides`, each "section.key=VALUE" with a TOML value (a bare word that is not TOML
  // is taken as a string, so that rule=global works). A missing or unreadable file is Error(config).
  static Config from_file(const std::string& path, const std::vector<std::string>& overrides = {});
  // `name` stands in messages where a file's name would.
  static Config from_text(const std::string& toml, const std::vector<std::string>& overrides = {},
                          const std::string& name = "config");

  Section section(const std::string& name) const;
  // Throws for the first key in the file (or an override) that nobody has asked for.
  void reject_unknown() const;
  // All keys asked for so far with their values, as TOML that from_text reads back to the same.
  std::string resolved() const;
  // The same as a map: "section.key", or "section.table[0].key", to the value as TOML.
  std::map<std::string, std::string> resolved_values() const;
  const std::string& file() const;
  // Where a key stands, for messages: "file.toml:12: learning.horizon", or "--set learning.horizon".
  std::string place(const std::string& path) const;

 private:
  explicit Config(std::shared_ptr<ConfigDocument> document) : document_(std::move(document)) {}
  std::shared_ptr<ConfigDocument> document_;
};

}  // namespace interlock
