#pragma once
// Who computes what, when: rows of bars over one axis of time, several groups of rows above each other.

#include <string>
#include <vector>

namespace interlock {

struct TimelineBar {
  char kind = 'F';            // F L I W B U, as actions are written; '.' waiting, '-' a message on its way
  double begin = 0, end = 0;  // seconds from the left edge
  std::string label;          // shown where there is room: "F3"
};

struct TimelineGroup {
  std::string name;  // "measured"
  std::vector<std::string> row_names;
  std::vector<std::vector<TimelineBar>> rows;
};

struct TimelinePicture {
  std::string title, words;  // words: the text alternative
  std::vector<TimelineGroup> groups;
};

// The longest group fills the width.
std::string figure_of(const TimelinePicture& picture);

}  // namespace interlock
