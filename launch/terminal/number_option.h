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

// A whole number from `least` to `most`, both included, also written as 1e3, as in a config. To be given to an option
// as transform(), since the text is rewritten in digits. CLI11's checks let "1.5" pass, and print their range in 309
// digits.
inline CLI::Validator whole_number(int64_t least, int64_t most = std::numeric_limits<int64_t>::max()) {
  std::ostringstream range;
  range << "a whole number from " << least;
  if (most < std::numeric_limits<int64_t>::max()) {
    range << " to " << most;
  } else {
    range << " on";
  }
  const std::string expected = range.str();
  return {[=](std::string& text) {
            const char* end = text.data() + text.size();
            int64_t value = 0;
            auto read = std::from_chars(text.data(), end, value);
            if (read.ptr != end || read.ec != std::errc()) {
              double number = 0;
              read = std::from_chars(text.data(), end, number);
              constexpr double exact = 0x1p53;  // beyond it a double stands for several integers
              const bool whole = std::abs(number) <= exact && number == std::floor(number);
              if (read.ec == std::errc() && !whole) read.ec = std::errc::invalid_argument;
              value = whole ? static_cast<int64_t>(number) : 0;
            }
            if (read.ec != std::errc() || read.ptr != end || value < least || value > most)
              return "\"" + text + "\" is not " + expected;
            text = std::to_string(value);
            return std::string();
          },
          "NUMBER", "whole_number"};
}

}  // namespace interlock
