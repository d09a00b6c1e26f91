#pragma once
// To which norm gradients are cut, and over what the norm is taken.

#include <string>

#include "runtime/core/config.h"

namespace interlock {

struct ClipSettings {
  double norm = 1.0;           // 0: no gradient is cut
  std::string scope = "auto";  // auto | stage | model

  static ClipSettings from(const Section& optimizer);
  // Whether the norm is that of the whole model's gradient. `together`: every step waits for all stages in any case, so
  // that such a norm costs no further waiting.
  bool over_model(bool together) const;
};

}  // namespace interlock
