#pragma once
// The JSON header of a safetensors file as text <-> entries, with every rule that can be told from it and the data's
// size.

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/storage/safetensors.h"

namespace interlock {

// The reference implementation's limit; it also keeps a hostile length from making us read far.
inline constexpr uint64_t safetensors_header_limit = 100'000'000;

struct SafetensorsHeader {
  std::vector<TensorEntry> tensors;  // by name, ascending
  std::map<std::string, std::string> metadata;
};

// Error(bad_input) names `path`, the tensor where there is one, and the rule that was broken.
SafetensorsHeader parse_safetensors_header(std::string_view json, uint64_t data_size, const std::string& path);

// Puts the tensors into the order of the file, computes their offsets, and returns the header padded to 8 bytes.
std::string layout_safetensors(std::vector<TensorEntry>& tensors, const std::map<std::string, std::string>& metadata);

}  // namespace interlock
