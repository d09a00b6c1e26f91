#pragma once
// Lines of a table, cut into fields. Internal to table.cpp.

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace interlock {

struct FieldsOfLine {
  int64_t line = 0;  // where it begins, from 1
  std::vector<std::string> fields;
};

// Told of every line with something in it, in order; returns how many were empty. Error(bad_input) begins with the
// line.
using TakeLine = std::function<void(FieldsOfLine&&)>;
int64_t read_lines(std::string_view text, const TakeLine& take);      // one field: the line itself
int64_t read_separated(std::string_view text, const TakeLine& take);  // between tabs
int64_t read_quoted(std::string_view text, const TakeLine& take);     // between commas, RFC 4180

}  // namespace interlock
