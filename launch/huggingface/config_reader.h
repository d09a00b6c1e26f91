#pragma once
// Reading a config.json key by key: what is wrong names the file, the key and what was expected.

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

#include "models/sizes.h"
#include "runtime/core/error.h"
#include "runtime/data/byte_tokens.h"
#include "runtime/data/tokenizer/strict_json.h"

namespace interlock {

// A key of ours, which transformers keep and pass over: tokens are bytes, so there is no tokenizer.
inline constexpr const char* bytes_key = "interlock_bytes";
// Another: trained with objective.document_mask, which transformers' models do not do by themselves.
inline constexpr const char* document_mask_key = "interlock_document_mask";

class ConfigReader {
 public:
  using json = nlohmann::json;
  explicit ConfigReader(const std::string& path) : path_(path), values_(read_strict_json(path)) {
    if (!values_.is_object()) refuse("is no JSON object");
  }
  [[noreturn]] void refuse(const std::string& what) const {
    throw Error(ExitCode::bad_input, message(path_, ": ", what));
  }
  const json* find(const std::string& key) const {
    const auto found = values_.find(key);
    return found == values_.end() || found->is_null() ? nullptr : &*found;
  }
  int64_t size(const std::string& key, int64_t most, int64_t least = 1) const {
    const json* value = find(key);
    if (value == nullptr) refuse(message("has no \"", key, "\""));
    if (!value->is_number_integer() || *value < least || *value > most)
      refuse(message("\"", key, "\" is ", value->dump(), "; an integer from ", least, " to ", most, " is expected"));
    return value->get<int64_t>();
  }
  double rate(const std::string& key) const {
    const json* value = find(key);
    if (value == nullptr) return 0.1;  // transformers' default
    if (!value->is_number() || *value < 0.0 || *value >= 1.0)
      refuse(message("\"", key, "\" is ", value->dump(), "; a number from 0 to below 1 is expected"));
    return value->get<double>();
  }
  // What norms add to the variance; `fallback` is transformers' default.
  double epsilon(const std::string& key, double fallback) const {
    const json* value = find(key);
    if (value == nullptr) return fallback;
    if (!value->is_number() || *value < 1e-30 || *value > 1.0)
      refuse(message("\"", key, "\" is ", value->dump(), "; a number above 0 and up to 1 is expected"));
    return value->get<double>();
  }
  bool flag(const std::string& key, bool fallback) const {
    const json* value = find(key);
    if (value == nullptr) return fallback;
    if (!value->is_boolean()) refuse(message("\"", key, "\" is ", value->dump(), "; true or false is expected"));
    return value->get<bool>();
  }
  // Of a model of ours that reads bytes (bytes_key). `vocabulary`: what the file says besides.
  bool reads_bytes(int64_t vocabulary) const {
    if (!flag(bytes_key, false)) return false;
    if (vocabulary < byte_tokens::vocabulary)
      refuse(message("\"", bytes_key, "\" is true and \"vocab_size\" ", vocabulary, "; the vocabulary of bytes has ",
                     byte_tokens::vocabulary, " tokens"));
    return true;
  }
  // `fallback` is what transformers take for a key that is not there.
  void require(const std::string& key, const json& wanted, const json& fallback, const std::string& why) const {
    const json* found = find(key);
    const json& value = found == nullptr ? fallback : *found;
    if (value != wanted)
      refuse(message("\"", key, "\" is ", value.dump(), found == nullptr ? " (the default)" : "", "; only ",
                     wanted.dump(), " is supported: ", why));
  }

 private:
  std::string path_;
  json values_;
};

// What transformers call a type of safetensors.
inline std::string dtype_name(const std::string& dtype) {
  if (dtype == "F64") return "float64";
  if (dtype == "F16") return "float16";
  return dtype == "BF16" ? "bfloat16" : "float32";
}

}  // namespace interlock
