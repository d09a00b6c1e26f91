#include "launch/settings/key_place.h"

namespace interlock {

std::string with_place(const Config& config, const std::string& sentence, size_t change) {
  const std::string learning = "learning.";
  for (const std::string& place : {config.file() + ":", std::string("--set ")})
    if (sentence.starts_with(place)) return sentence;  // of a section, which knows it
  const size_t end = sentence.find(' '), dot = sentence.find('.');
  if (dot == std::string::npos || dot >= end) return config.file() + ": " + sentence;
  const std::string key = sentence.substr(0, end), rest = end == std::string::npos ? "" : sentence.substr(end);
  if (change == 0 || !key.starts_with(learning)) return config.place(key) + rest;
  // A change has the keys that it leaves out from the change before it.
  const std::vector<Section> changes = config.section("learning").sections("change");
  const std::string name = key.substr(learning.size()), outer = name.substr(0, name.find('['));
  std::string place = config.place(key);
  for (size_t i = 0; i < change; ++i)
    if (changes.at(i).has(outer)) place = config.place(changes[i].path() + "." + name);
  if (changes.at(change - 1).has(outer)) return place + rest;
  return config.place(changes[change - 1].path()) + ": " + place + rest;
}

}  // namespace interlock
