#include "runtime/optimization/clip.h"

#include "runtime/optimization/presets.h"

namespace interlock {

ClipSettings ClipSettings::from(const Section& optimizer) {
  return {optimizer.number("clip", preset_number(optimizer, "clip", 1.0), 0.0),
          optimizer.one_of("clip_scope", "auto", {"auto", "stage", "model"})};
}

bool ClipSettings::over_model(bool together) const {
  return norm > 0 && (scope == "model" || (scope == "auto" && together));
}

}  // namespace interlock
