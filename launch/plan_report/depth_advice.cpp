#include "launch/plan_report/depth_advice.h"

#include <algorithm>
#include <cmath>
#include <iomanip>
#include <sstream>

#include "runtime/core/error.h"

namespace interlock {
namespace {

// ln(width) = a + b layers at the change. Not read in the paper itself: checked against its abstract alone, by which a
// model of 10^12 parameters is best about 30,000 wide.
constexpr double a = 5.039, b = 0.0555;
constexpr double least_parameters = 3e6, fewest_fitted = 6, most_fitted = 48;

double parameters_at(double layers) { return 12 * layers * std::exp(2 * (a + b * layers)); }

// parameters_at grows with its argument.
double layers_for(double parameters) {
  double low = 0, high = 1;
  while (parameters_at(high) < parameters) high *= 2;
  for (int i = 0; i < 100; ++i) (parameters_at((low + high) / 2) < parameters ? low : high) = (low + high) / 2;
  return (low + high) / 2;
}

std::string millions(double parameters) {
  std::ostringstream text;
  text << std::setprecision(3) << parameters / 1e6 << " million";
  return text.str();
}

std::string mib(double bytes) {
  std::ostringstream text;
  text << std::fixed << std::setprecision(2) << bytes / (1 << 20) << " MiB";
  return text.str();
}

}  // namespace

DepthAdvice advise_depth(double parameters, int64_t layers, int64_t width, double message_bytes) {
  if (parameters < least_parameters)
    throw Error(ExitCode::config,
                message("--advise-depth: the blocks of this model have ", millions(parameters),
                        " parameters; the fit was made from networks of 6 layers and more and says nothing below 3 "
                        "million"));
  DepthAdvice advice{.parameters = parameters, .layers = layers, .width = width};
  const double best = layers_for(parameters);
  advice.best_layers = std::max<int64_t>(1, std::llround(best));
  advice.best_width = std::llround(std::sqrt(parameters / (12 * static_cast<double>(advice.best_layers))));
  advice.in_range = best >= fewest_fitted - 0.5 && best <= most_fitted + 0.5;
  advice.theory_layers = std::log(static_cast<double>(width)) / std::log(3.0);
  advice.message_bytes = message_bytes;
  advice.best_message_bytes = message_bytes * static_cast<double>(advice.best_width) / static_cast<double>(width);
  return advice;
}

std::string advice_text(const DepthAdvice& advice, int stages) {
  const char* verdict = advice.layers > advice.best_layers   ? "deeper and narrower"
                        : advice.layers < advice.best_layers ? "shallower and wider"
                                                             : "as deep";
  std::ostringstream text;
  text << "\nDepth against width (Levine et al. 2020), for " << millions(advice.parameters)
       << " parameters in blocks:\n  this model has " << advice.layers << " layers of width " << advice.width
       << "; the fit puts the best at " << advice.best_layers << " of about " << advice.best_width << ": it is "
       << verdict << (advice.layers == advice.best_layers ? " as that" : " than that") << "\n";
  if (stages > 1)
    text << "  on " << stages << " stages that is " << std::fixed << std::setprecision(1)
         << static_cast<double>(advice.best_layers) / stages << " layers each instead of "
         << static_cast<double>(advice.layers) / stages << ", and messages of " << mib(advice.best_message_bytes)
         << " instead of " << mib(advice.message_bytes) << "\n";
  text << "  Fitted were networks of " << static_cast<int>(fewest_fitted) << " to " << static_cast<int>(most_fitted)
       << " layers" << (advice.in_range ? "" : "; this lies outside of what was fitted: take it for less") << ".\n";
  text << "  In doubt: the fit is of language models that read from left to right; its two constants are checked "
          "against\n"
          "  the paper's abstract only (30,000 wide at 10^12 parameters); near its optimum the loss is flat. The "
          "theory's\n"
          "  own threshold, log_3(width) = "
       << std::fixed << std::setprecision(1) << advice.theory_layers << " layers, is no rule for real models.\n";
  return text.str();
}

}  // namespace interlock
