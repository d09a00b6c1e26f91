// Checks as a table and as JSON.
#include <algorithm>
#include <iomanip>
#include <nlohmann/json.hpp>
#include <sstream>

#include "launch/checks/checks.h"

namespace interlock {

std::string table_text(const std::vector<Check>& checks) {
  size_t width = 0;
  for (const Check& check : checks) width = std::max(width, check.name.size());
  std::ostringstream out;
  for (const Check& check : checks) {
    out << std::left << std::setw(6) << name_of(check.status) << std::setw(static_cast<int>(width) + 2) << check.name
        << check.found << (check.advice.empty() ? "" : "  ->  " + check.advice) << "\n";
  }
  return out.str();
}

bool all_pass(const std::vector<Check>& checks) {
  return std::ranges::none_of(checks, [](const Check& check) { return check.status == Check::Status::fail; });
}

nlohmann::json checks_json(const std::vector<Check>& checks) {
  nlohmann::json list = nlohmann::json::array();
  for (const Check& check : checks) {
    list.push_back(
        {{"name", check.name}, {"status", name_of(check.status)}, {"found", check.found}, {"advice", check.advice}});
  }
  return {{"checks", list}, {"ok", all_pass(checks)}};
}

}  // namespace interlock
