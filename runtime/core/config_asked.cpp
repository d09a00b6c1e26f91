// What has been asked for: the resolved config, and the refusal of what nobody asked for.

#include <algorithm>
#include <cassert>
#include <optional>
#include <tuple>

#include "runtime/core/config_document.h"
#include "runtime/core/error.h"
#include "runtime/core/likely_keys.h"
#include "runtime/core/nearest_name.h"

namespace interlock {
namespace {

std::string child_path(const std::string& section, const std::string& key) {
  return section.empty() ? key : section + "." + key;
}

std::string element_path(const std::string& array, size_t index) { return message(array, "[", index, "]"); }

const ConfigDocument::Asked* find_asked(const std::vector<ConfigDocument::Asked>& asked, const std::string& path) {
  const auto found = std::find_if(asked.begin(), asked.end(), [&](const auto& one) { return one.path == path; });
  return found == asked.end() ? nullptr : &*found;
}

bool knows(const ConfigDocument::Asked& section, const std::string& key) {
  return std::any_of(section.values.begin(), section.values.end(), [&](const auto& one) { return one.first == key; });
}

bool is_section_or_above(const std::vector<ConfigDocument::Asked>& asked, const std::string& path) {
  return std::any_of(asked.begin(), asked.end(), [&](const auto& one) {
    return one.path == path || one.path.compare(0, path.size() + 1, path + ".") == 0;
  });
}

struct Unknown {
  std::string section, key;
  toml::source_index line = 0;  // 0: from an override
};

// Finds what nobody asked for below `table`.
struct UnknownFinder {
  const ConfigDocument& document;
  std::vector<Unknown> found;

  void walk(const toml::table& table, const std::string& path) {
    const auto* section = find_asked(document.asked, path);
    for (const auto& [name, node] : table) {
      const std::string key(name.str());
      const std::string inner = child_path(path, key);
      const bool dotted = key.find_first_of(".[]") != std::string::npos;  // quoted in the file; no key of ours is
      if (section && knows(*section, key) && !dotted) continue;
      if (section && section->tables.count(key) && node.is_array() && !dotted) {
        const auto& elements = *node.as_array();
        for (size_t i = 0; i < elements.size(); ++i)
          if (elements[i].is_table()) walk(*elements[i].as_table(), element_path(inner, i));
      } else if (node.is_table() && is_section_or_above(document.asked, inner) && !dotted) {
        walk(*node.as_table(), inner);
      } else {
        const bool overridden = document.place(inner).rfind("--set ", 0) == 0;
        found.push_back({path, key, overridden ? 0 : node.source().begin.line});
      }
    }
  }
};

}  // namespace

ConfigDocument::Asked& ConfigDocument::asked_of(const std::string& path) {
  const auto found = std::find_if(asked.begin(), asked.end(), [&](const auto& one) { return one.path == path; });
  if (found != asked.end()) return *found;
  return asked.emplace_back(Asked{path, {}, {}});
}

void ConfigDocument::ask_section(const std::string& path) {
  const std::lock_guard lock(mutex);
  asked_of(path);
}

void ConfigDocument::ask_value(const std::string& section, const std::string& key, const std::string& value) {
  const std::lock_guard lock(mutex);
  auto& values = asked_of(section).values;
  const auto found = std::find_if(values.begin(), values.end(), [&](const auto& one) { return one.first == key; });
  if (found == values.end()) {
    values.emplace_back(key, value);
  } else {
    assert(found->second == value && "one key was asked for with two defaults");
  }
}

void ConfigDocument::ask_tables(const std::string& section, const std::string& key, size_t count) {
  const std::lock_guard lock(mutex);
  asked_of(section).tables.insert(key);
  for (size_t i = 0; i < count; ++i) asked_of(element_path(child_path(section, key), i));
}

std::string ConfigDocument::advice_for_key(const std::string& section, const std::string& key) const {
  std::vector<std::string> here, elsewhere;
  for (const auto& one : asked) {
    for (const auto& [name, value] : one.values) {
      if (one.path == section) here.push_back(name);
      if (name == key) elsewhere.push_back(child_path(one.path, name));
    }
    if (one.path == section) here.insert(here.end(), one.tables.begin(), one.tables.end());
    const std::string prefix = section.empty() ? "" : section + ".";
    if (one.path.size() > prefix.size() && one.path.compare(0, prefix.size(), prefix) == 0 &&
        one.path.find_first_of(".[", prefix.size()) == std::string::npos)
      here.push_back(one.path.substr(prefix.size()));
  }
  std::sort(here.begin(), here.end());
  here.erase(std::unique(here.begin(), here.end()), here.end());
  std::string nearest = nearest_name(key, here);
  if (nearest.empty() && !elsewhere.empty()) nearest = elsewhere.front();
  std::string advice = nearest.empty() ? "" : "; did you mean \"" + nearest + "\"?";
  if (const std::string likely = likely_key(key); nearest.empty() && !likely.empty()) {
    nearest = likely;
    advice = "; that is " + likely + " here.";
  }
  if (here.empty()) return advice;
  const std::string who = !section.empty() ? "[" + section + "]" : nearest.empty() ? "the file" : "The file";
  return advice + (nearest.empty() ? "; " : " ") + who + " knows: " + join(here);
}

void ConfigDocument::reject_unknown() const {
  const std::lock_guard lock(mutex);
  UnknownFinder finder{*this, {}};
  finder.walk(root, "");
  if (finder.found.empty()) return;
  // In the order of the file; overrides last.
  const auto first = std::min_element(finder.found.begin(), finder.found.end(), [](const auto& a, const auto& b) {
    return std::tuple(a.line == 0, a.line) < std::tuple(b.line == 0, b.line);
  });
  const std::string path = child_path(first->section, first->key);
  const toml::node* node = find(path);
  const bool is_section = node && node->is_table();
  refuse(path, (is_section ? "unknown section" : "unknown key") + advice_for_key(first->section, first->key));
}

std::string ConfigDocument::resolved() const {
  const std::lock_guard lock(mutex);
  std::string text;
  const auto print = [&](const Asked& section) {
    const size_t bracket = section.path.rfind('[');
    const bool is_element = bracket != std::string::npos && section.path.back() == ']';
    if (section.values.empty() && !is_element) return;
    std::string header = is_element ? section.path.substr(0, bracket) : section.path;
    // An index inside the name ("a[0].b") stands for "the last [[a]]" in TOML: it is left out.
    for (size_t open; (open = header.find('[')) != std::string::npos;) header.erase(open, header.find(']') - open + 1);
    if (!text.empty()) text += "\n";
    text += is_element ? "[[" + header + "]]\n" : "[" + header + "]\n";
    for (const auto& [key, value] : section.values) text += key + " = " + value + "\n";
  };
  // Sections inside an element must follow it before the next element comes, so children follow their parent.
  const auto print_tree = [&](const auto& self, const Asked& section) -> void {
    print(section);
    for (const auto& other : asked)
      if (other.path.compare(0, section.path.size() + 1, section.path + ".") == 0 &&
          other.path.find('.', section.path.size() + 1) == std::string::npos)
        self(self, other);
  };
  for (const auto& section : asked)
    if (section.path.find('.') == std::string::npos) print_tree(print_tree, section);
  return text;
}

std::map<std::string, std::string> ConfigDocument::resolved_values() const {
  const std::lock_guard lock(mutex);
  std::map<std::string, std::string> all;
  for (const auto& section : asked)
    for (const auto& [key, value] : section.values) all[child_path(section.path, key)] = value;
  return all;
}

}  // namespace interlock
