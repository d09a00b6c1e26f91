#pragma once
// Text and numbers as they stand in a page.

#include <string>

namespace interlock {

std::string escaped(const std::string& text);  // for HTML and SVG, attributes included
// Of a measurement: `digits` that count, without trailing zeros; 1230000 as "1.23 M", 0.00012 as "1.2e-4".
std::string significant(double value, int digits = 3);
std::string fixed(double value, int decimals);
std::string coordinate(double value);  // of a picture: at most two decimals
std::string percent(double share);     // "12.3 %"
std::string duration(double seconds);  // "12.3 ms", "4.56 s", "3 min 20 s", "1 h 5 min"
std::string bytes(double count);       // "1.5 MiB"

}  // namespace interlock
