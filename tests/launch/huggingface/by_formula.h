#pragma once
// Weights of RoBERTas that tests/golden/huggingface/make_parts.py makes too, from the names of their tensors alone.

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/launch/commands/token_project.h"

namespace interlock {

// The formula of the script: FNV-1a of the name, a Weyl step per element, murmur3's finalizer.
inline uint32_t hash_of(const std::string& name) {
  uint32_t hash = 2166136261u;
  for (const unsigned char byte : name) hash = (hash ^ byte) * 16777619u;
  return hash;
}

inline float formula(uint32_t hash, uint32_t i) {
  uint32_t x = hash + i * 0x9E3779B9u;
  x = (x ^ (x >> 16)) * 0x85EBCA6Bu;
  x = (x ^ (x >> 13)) * 0xC2B2AE35u;
  x ^= x >> 16;
  return static_cast<float>(((x >> 8) * 0x1p-24 - 0.5) * 0.5);
}

inline StoredTensor by_formula(const std::string& name, const std::vector<int64_t>& shape) {
  int64_t count = 1;
  for (const int64_t size : shape) count *= size;
  const uint32_t hash = hash_of(name == "lm_head.decoder.bias" ? "lm_head.bias" : name);
  const float offset = shape.size() == 1 && name.ends_with("weight") ? 1.0F : 0.0F;
  std::string bytes;
  for (int64_t i = 0; i < count; ++i) {
    const float value = offset + formula(hash, static_cast<uint32_t>(i));
    bytes.append(reinterpret_cast<const char*>(&value), sizeof value);
  }
  return {{name, "F32", shape, 0, 0}, bytes};
}

inline void add_by_formula(StoredFile& file, const std::string& name, const std::vector<int64_t>& shape) {
  file.tensors[name] = by_formula(name, shape);
}
inline void add_linear(StoredFile& file, const std::string& name, int64_t in, int64_t out) {
  add_by_formula(file, name + ".weight", {out, in});
  add_by_formula(file, name + ".bias", {out});
}
inline void add_norm(StoredFile& file, const std::string& name, int64_t width) {
  add_by_formula(file, name + ".weight", {width});
  add_by_formula(file, name + ".bias", {width});
}

// Names and shapes written down here once more, from the published layout.
inline StoredFile encoder_by_formula(const nlohmann::json& config) {
  const int64_t width = config["hidden_size"], wide = config["intermediate_size"], words = config["vocab_size"];
  StoredFile file{{}, {}};
  const std::string embeddings = "roberta.embeddings.";
  add_by_formula(file, embeddings + "word_embeddings.weight", {words, width});
  add_by_formula(file, embeddings + "position_embeddings.weight", {config["max_position_embeddings"], width});
  add_by_formula(file, embeddings + "token_type_embeddings.weight", {config["type_vocab_size"], width});
  add_norm(file, embeddings + "LayerNorm", width);
  for (int layer = 0; layer < config["num_hidden_layers"]; ++layer) {
    const std::string block = "roberta.encoder.layer." + std::to_string(layer) + ".";
    for (const char* part : {"query", "key", "value"}) add_linear(file, block + "attention.self." + part, width, width);
    add_linear(file, block + "attention.output.dense", width, width);
    add_norm(file, block + "attention.output.LayerNorm", width);
    add_linear(file, block + "intermediate.dense", width, wide);
    add_linear(file, block + "output.dense", wide, width);
    add_norm(file, block + "output.LayerNorm", width);
  }
  return file;
}

}  // namespace interlock
