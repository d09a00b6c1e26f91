#pragma once
// The most of each size that a config may ask for, wherever it comes from: a file, the metadata of weights, a folder of
// Hugging Face. Far above every published network, and low enough that what follows from them (names of layers, costs,
// products in 64 bits) is made within a second, so that a refusal comes before memory is asked for.

#include <cstdint>

namespace interlock {

inline constexpr int64_t most_layers = 1 << 13;        // a partition is looked for in time that grows with their square
inline constexpr int64_t most_width = 1 << 18;         // GPT-3 has 12288
inline constexpr int64_t most_feed_forward = 1 << 20;  // 4 x width
inline constexpr int64_t most_heads = 1 << 16;
inline constexpr int64_t most_vocabulary = 1 << 26;
inline constexpr int64_t most_length = 1 << 24;  // tokens of a sample, as data.sequence_length

}  // namespace interlock
