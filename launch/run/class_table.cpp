#include "launch/run/class_table.h"

#include <iomanip>
#include <sstream>

namespace interlock {

std::string class_table(const std::string& title, const ClassResult& result) {
  std::ostringstream text;
  text << std::fixed << std::setprecision(4);
  constexpr int names = 28, numbers = 14;
  const auto begin = [&](const std::string& name) -> std::ostream& {
    return text << std::left << std::setw(names) << name << std::right;
  };
  begin(title) << std::setw(numbers) << "accuracy" << std::setw(numbers) << "loss (nats)"
               << "\n";
  begin("  this model") << std::setw(numbers) << result.accuracy << std::setw(numbers) << result.loss << "\n";
  begin("  class frequencies alone") << std::setw(numbers) << result.majority_baseline << std::setw(numbers);
  if (result.frequencies_loss)
    text << *result.frequencies_loss;
  else
    text << "-";
  text << "\n";
  return text.str();
}

}  // namespace interlock
