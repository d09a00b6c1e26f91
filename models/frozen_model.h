#pragma once
// A model some of whose parameters are frozen (model.frozen): its slices and heads have them without requires_grad, and
// its costs say so. Everything else asks the tensors and the costs, never the patterns.

#include <memory>
#include <string>
#include <vector>

#include "models/model.h"

namespace interlock {

// `model` with the parameters frozen whose global names a pattern matches, as a shell matches file names: `*` any
// letters, dots too, `?` one, `[ab]` one of these. Of a tied tensor the name in the first slice counts. `model` itself
// when there are no patterns. Error(config) for a pattern that fits no parameter: it names it, and a name that comes
// near.
std::shared_ptr<Model> freeze(std::shared_ptr<Model> model, const std::vector<std::string>& patterns);

}  // namespace interlock
