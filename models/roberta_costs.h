#pragma once
// What the parts of RoBERTa cost, per microbatch.

#include <string>

#include "models/costs.h"
#include "models/roberta_settings.h"

namespace interlock {

Costs roberta_embedding_costs(const RobertaSettings& settings, int64_t samples);
Costs roberta_block_costs(const RobertaSettings& settings, int64_t samples, Part part = Part::whole);
Costs roberta_readout_costs(const RobertaSettings& settings, int64_t samples);
Costs roberta_head_costs(const RobertaSettings& settings, const std::string& kind, int64_t samples);

}  // namespace interlock
