#include "launch/page/markup.h"

#include <cmath>
#include <cstdint>
#include <iomanip>
#include <iterator>
#include <sstream>

#include "runtime/core/error.h"

namespace interlock {

std::string escaped(const std::string& text) {
  std::string safe;
  for (const char c : text) {
    switch (c) {
      case '&':
        safe += "&amp;";
        break;
      case '<':
        safe += "&lt;";
        break;
      case '>':
        safe += "&gt;";
        break;
      case '"':
        safe += "&quot;";
        break;
      default:
        // XML 1.0 has no other control characters than these.
        safe += static_cast<unsigned char>(c) < 0x20 && c != '\t' && c != '\n' ? '?' : c;
    }
  }
  return safe;
}

std::string fixed(double value, int decimals) {
  if (!std::isfinite(value)) return std::isnan(value) ? "not a number" : value > 0 ? "infinite" : "-infinite";
  std::ostringstream out;
  out << std::fixed << std::setprecision(decimals) << value;
  return out.str();
}

std::string coordinate(double value) {
  std::string text = fixed(value, 2);
  text.erase(text.find_last_not_of('0') + 1);
  if (text.back() == '.') text.pop_back();
  return text == "-0" ? "0" : text;
}

namespace {

std::string trimmed(std::string text) {
  if (text.find('.') == std::string::npos) return text;
  text.erase(text.find_last_not_of('0') + 1);
  if (text.back() == '.') text.pop_back();
  return text;
}

}  // namespace

std::string significant(double value, int digits) {
  if (value == 0 || !std::isfinite(value)) return value == 0 ? "0" : fixed(value, 0);
  const double size = std::abs(value);
  if (size < 1e-3) {
    std::ostringstream out;
    out << std::scientific << std::setprecision(digits - 1) << value;
    std::string text = out.str();
    const size_t e = text.find('e');
    return trimmed(text.substr(0, e)) + "e" + std::to_string(std::stoi(text.substr(e + 1)));
  }
  static constexpr struct {
    double from;
    const char* name;
  } scales[] = {{1e15, " P"}, {1e12, " T"}, {1e9, " G"}, {1e6, " M"}, {1e4, " k"}};
  for (const auto& scale : scales)
    if (size >= scale.from) {
      const double unit = scale.from == 1e4 ? 1e3 : scale.from;
      return significant(value / unit, digits) + scale.name;
    }
  const int whole = static_cast<int>(std::floor(std::log10(size)));
  return trimmed(fixed(value, std::max(0, digits - 1 - whole)));
}

std::string percent(double share) { return fixed(100 * share, 1) + " %"; }

std::string duration(double seconds) {
  if (seconds < 0 || !std::isfinite(seconds)) return fixed(seconds, 0);
  if (seconds < 1e-3) return significant(seconds * 1e6) + " us";
  if (seconds < 1) return significant(seconds * 1e3) + " ms";
  if (seconds < 60) return significant(seconds) + " s";
  const auto whole = static_cast<int64_t>(std::llround(seconds));
  if (whole < 3600) return message(whole / 60, " min ", whole % 60, " s");
  return message(whole / 3600, " h ", whole % 3600 / 60, " min");
}

std::string bytes(double count) {
  static constexpr const char* names[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  size_t power = 0;
  for (; count >= 1024 && power + 1 < std::size(names); ++power) count /= 1024;
  return significant(count) + " " + names[power];
}

}  // namespace interlock
