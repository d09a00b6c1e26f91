// The files beside tokenizer.json that tell transformers which class reads it and what its special tokens are.

#include <filesystem>
#include <nlohmann/json.hpp>

#include "launch/huggingface/huggingface.h"
#include "runtime/data/tokenizer/strict_json.h"
#include "runtime/storage/atomic_file.h"

namespace interlock {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using nlohmann::ordered_json;

// Roles as transformers name them. What else is to be said of a token stands in tokenizer.json, and transformers lay
// these entries over that file's: so they repeat it. Texts that are not `framed` are parts of a stream of documents, of
// which each begins where the one before it ends.
ordered_json special_tokens(const Tokenizer& tokenizer, const json& file, bool framed) {
  const Tokenizer::Specials specials = tokenizer.specials();
  ordered_json tokens = ordered_json::object();
  const auto add = [&](const char* role, int64_t id) {
    if (id >= 0) tokens[role] = std::string(tokenizer.bytes_of(id));
  };
  add("bos_token", framed || specials.end < 0 ? specials.begin : specials.end);
  add("cls_token", specials.begin);
  add("eos_token", specials.end);
  add("sep_token", specials.end);
  add("pad_token", specials.pad);
  add("unk_token", specials.unknown);
  for (const json& token : file.at("added_tokens")) {
    if (token.at("id") != specials.mask) continue;
    for (const char* key : {"content", "lstrip", "normalized", "rstrip", "single_word"})
      tokens["mask_token"][key] = token.at(key);
  }
  return tokens;
}

}  // namespace

void write_huggingface_tokenizer(const Tokenizer& tokenizer, int64_t max_length, const std::string& tokenizer_class,
                                 bool framed, const std::string& folder) {
  tokenizer.save(folder);
  const std::string path = (fs::path(folder) / "tokenizer.json").string();
  json file = read_strict_json(path);
  if (!framed) {
    file["post_processor"] = nullptr;
    write_atomically(path, file.dump(1));
  }
  const ordered_json specials = special_tokens(tokenizer, file, framed);
  write_atomically((fs::path(folder) / "special_tokens_map.json").string(), specials.dump(2) + "\n");
  ordered_json config = {{"add_prefix_space", file.at("pre_tokenizer").at("add_prefix_space")},
                         {"errors", "replace"},
                         {"model_max_length", max_length},
                         {"tokenizer_class", tokenizer_class},
                         {"trim_offsets", true}};
  config.update(specials);
  if (config.contains("mask_token")) config["mask_token"]["__type"] = "AddedToken";
  write_atomically((fs::path(folder) / "tokenizer_config.json").string(), config.dump(2) + "\n");
}

bool has_tokenizer(const std::string& folder) {
  std::error_code absent;
  const auto has = [&](const char* name) { return fs::exists(fs::path(folder) / name, absent); };
  return has("tokenizer.json") || has("vocab.json") || has("encoder.json");
}

}  // namespace interlock
