#pragma once
// What the pieces of a ResNet cost, per microbatch of `samples` images.

#include <cstdint>
#include <string>

#include "models/costs.h"
#include "models/resnet_settings.h"

namespace interlock {

Costs stem_costs(const ResnetSettings& settings, int64_t samples);
Costs block_costs(const ResnetSettings& settings, const ResnetSettings::Block& block, int64_t samples);
// The mean over places and a linear layer on `image`.
Costs pooled_readout_costs(const ResnetSettings& settings, const ImageShape& image, int64_t samples);
Costs sequence_head_costs(const ResnetSettings& settings, const SequenceShape& shape, const ImageShape& image,
                          int64_t samples);

}  // namespace interlock
