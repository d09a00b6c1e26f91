#pragma once
// A model some of whose parameters are frozen (model.frozen): its slices and heads have them without requires_grad, and
// its costs say so. Everything else asks the tensors and the costs, never the patterns.

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "models/model.h"

namespace interlock {

// Says of every parameter whether it trains, beside the patterns.
using Trains = std::function<bool(const ParameterPlace&)>;

// Patterns as a config names them, under their key.
struct NamedPatterns {
  std::string key;
  std::vector<std::string> patterns;
};

// `model` with the parameters frozen that `trains` (where given) refuses, or whose global names a pattern matches, as a
// shell matches file names: `*` any letters, dots too, `?` one, `[ab]` one of these. Of a tied tensor the name in the
// first slice counts. `model` itself when there are neither. Error(config) for a pattern, of these or of `others` that
// `trains` goes by, that fits no parameter: it names it, and a name that comes near.
std::shared_ptr<Model> freeze(std::shared_ptr<Model> model, const std::vector<std::string>& patterns,
                              Trains trains = {}, const std::vector<NamedPatterns>& others = {});

// Whether a global name fits one of such patterns.
bool fits_any(const std::vector<std::string>& patterns, const std::string& name);

}  // namespace interlock
