#pragma once
// Whether a Transformer is deep or wide for its size, by the fit of Levine et al., "The Depth-to-Width Interplay in
// Self-Attention" (NeurIPS 2020, arXiv 2006.12467). Free of LibTorch.

#include <cstdint>
#include <string>

namespace interlock {

struct DepthAdvice {
  double parameters = 0;          // of all blocks, embeddings and readout apart: 12 layers width^2
  int64_t layers = 0, width = 0;  // of the model
  int64_t best_layers = 0;        // where the fit puts the change from gain by depth to gain by width
  int64_t best_width = 0;         // with which so many layers have as many parameters
  bool in_range = true;           // whether best_layers lie within the depths that were fitted, 6 to 48
  double theory_layers = 0;       // log_3(width), the threshold of the theory itself
  double message_bytes = 0, best_message_bytes = 0;  // of a boundary between stages, per microbatch
};

// Error(config) below 3 million parameters, where the fit would ask for fewer layers than any network that it was made
// from. `message_bytes` are the model's; they grow with its width.
DepthAdvice advise_depth(double parameters, int64_t layers, int64_t width, double message_bytes);
std::string advice_text(const DepthAdvice& advice, int stages);

}  // namespace interlock
