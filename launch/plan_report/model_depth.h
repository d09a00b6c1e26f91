#pragma once

#include <cstdint>
#include <string>

#include "launch/plan_report/depth_advice.h"
#include "models/model.h"

namespace interlock {

// Of a chain of Transformer blocks with `samples` in a microbatch; of all of them as of the last, so that embeddings do
// not count; made without techniques, which what the advice rests on does not know. Error(config) for another model,
// which `name` calls.
DepthAdvice advise_depth_of(const Model& model, const std::string& name, int64_t samples);

}  // namespace interlock
