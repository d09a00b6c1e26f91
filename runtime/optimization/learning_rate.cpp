// Owns the learning-rate curve. Decay shapes follow the share of the decaying steps that is left, (T - t + 1) / (T -
// w): it is 1 at the first step after the warm-up and 1 / (T - w), not 0, at the last, so that no step is without
// effect.
#include "runtime/optimization/learning_rate.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "runtime/core/error.h"
#include "runtime/optimization/presets.h"

namespace interlock {

namespace {

// As torch.optim.lr_scheduler.MultiStepLR, whose milestones count the steps done.
void read_milestones(LearningRate::Config& config, const Section& optimizer) {
  config.milestones = optimizer.integers("milestones", {});
  config.factor = optimizer.number("factor", config.factor, 0.0);
  if (config.milestones.empty())
    optimizer.refuse("milestones", "is needed for decay = \"steps\": the steps after which the rate falls");
  int64_t before = 0;
  for (const int64_t step : config.milestones) {
    if (step <= before)
      optimizer.refuse("milestones", message("has ", step, " behind ", before, "; they must rise from 1"));
    before = step;
  }
}

}  // namespace

LearningRate::Config LearningRate::Config::from(const Section& optimizer, int64_t total_steps) {
  Config config;
  config.peak = optimizer.number("learning_rate", preset_number(optimizer, "learning_rate", config.peak), 0.0);
  const double warmup = preset_number(optimizer, "warmup_steps", static_cast<double>(config.warmup_steps));
  config.warmup_steps = optimizer.integer("warmup_steps", static_cast<int64_t>(warmup), 0);
  config.decay = optimizer.one_of("decay", config.decay, {"constant", "linear", "polynomial", "cosine", "steps"});
  config.power = optimizer.number("power", config.power, 0.0);
  config.floor = optimizer.number("floor", config.floor, 0.0, 1.0);
  config.total_steps = total_steps;
  if (config.decay == "steps") read_milestones(config, optimizer);
  const bool polynomial = config.decay == "polynomial";
  if (!polynomial && config.power != 1.0) {
    optimizer.refuse("power", message("only decay = \"polynomial\" reads it, and decay is \"", config.decay, "\""));
  }
  if (!polynomial && config.decay != "cosine" && config.floor != 0.0) {
    optimizer.refuse("floor", message("only decay = \"polynomial\" or \"cosine\" reads it, and decay is \"",
                                      config.decay, "\" (a linear decay to a floor is \"polynomial\" with power = 1)"));
  }
  return config;
}

double LearningRate::at(int64_t step) const {
  const auto& [peak, warmup, decay, power, floor, total, milestones, factor] = config_;
  if (step <= warmup) return peak * static_cast<double>(step) / static_cast<double>(warmup);
  if (decay == "constant") return peak;
  if (decay == "steps")
    return peak * std::pow(factor, std::ranges::count_if(milestones, [&](int64_t fall) { return fall < step; }));
  // Below 1 only for a step beyond the last, which has no rate of its own: it gets the end of the curve.
  const double decaying = static_cast<double>(std::max<int64_t>(total - warmup, 1));
  const double left = std::clamp(static_cast<double>(total - step + 1) / decaying, 0.0, 1.0);
  if (decay == "linear") return peak * left;
  const double shape = decay == "cosine" ? 0.5 * (1.0 - std::cos(std::numbers::pi * left)) : std::pow(left, power);
  return peak * (floor + (1.0 - floor) * shape);
}

}  // namespace interlock
