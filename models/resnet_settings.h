#pragma once
// The keys of the model "resnet", and the shapes that follow from them.

#include <cstdint>
#include <vector>

#include "models/blocks/image_heads.h"
#include "models/blocks/residual.h"
#include "models/model.h"
#include "models/unit.h"

namespace interlock {

struct ResnetSettings {
  std::vector<int64_t> blocks{3, 3, 3}, widths{16, 32, 64};  // per layer group: how many, and how wide
  bool bottleneck = false, zero_init_residual = false;
  ChannelNormKind norm;
  StemShape stem;
  ImageShape image;
  int64_t classes = 10;
  uint64_t seed = 1;
  Numbers numbers;

  int64_t units() const;
  // Of residual block `unit`: what it is made of, where it stands (layer<group + 1>.<place>), and what it takes.
  struct Block {
    ResidualShape shape;
    int64_t group = 0, place = 0;
    ImageShape input, output;
  };
  Block block(int64_t unit) const;
  // What stands behind the first `units_below` units; >= 1.
  ImageShape behind(int64_t units_below) const { return block(units_below - 1).output; }
};

// Error(config) names the key.
ResnetSettings read_resnet(const ModelSettings& given);

}  // namespace interlock
