#pragma once
// Ranges of numbers on the command line. CLI11's own take "nan": no comparison with it holds, so none refuses it.

#include <CLI/CLI.hpp>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <limits>
#include <sstream>
#include <string>

namespace interlock {

// A finite number from `least` to `most`, both included.
inline CLI::Validator number_between(double least, double most = std::numeric_limits<double>::max()) {
  std::ostringstream range;
  range << "a number from " << least;
  if (most < std::numeric_limits<double>::max()) range << " to " << most;
  const std::string expected = range.str();
  return {[=](std::string& text) {
            double value = 0;
            const char* end = text.data() + text.size();
            const bool read = std::from_chars(text.data(), end, value).ptr == end;
            const bool fits = read && std::isfinite(value) && value >= least && value <= most;
            return fits ? std::string() : "\"" + text + "\" is not " + expected;
          },
          "NUMBER", "number_between"};
}

// A whole number of at least `least`, as an int64 holds it. CLI11's checks let "1.5" pass, and print their range in 309
// digits.
inline CLI::Validator whole_number(int64_t least) {
  return {[=](std::string& text) {
            int64_t value = 0;
            const char* end = text.data() + text.size();
            const auto [stopped, problem] = std::from_chars(text.data(), end, value);
            if (problem == std::errc() && stopped == end && value >= least) return std::string();
            return "\"" + text + "\" is not a whole number from " + std::to_string(least) + " on";
          },
          "NUMBER", "whole_number"};
}

}  // namespace interlock
