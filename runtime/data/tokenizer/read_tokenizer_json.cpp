// tokenizer.json: takes byte-level BPE by the pattern of GPT-2, refuses the rest by name.

#include <nlohmann/json.hpp>

#include "runtime/core/error.h"
#include "runtime/core/nearest_name.h"
#include "runtime/data/tokenizer/pretokens.h"
#include "runtime/data/tokenizer/read_content.h"
#include "runtime/data/tokenizer/read_vocabulary.h"
#include "runtime/data/tokenizer/strict_json.h"

namespace interlock {
namespace {

using nlohmann::json;

class Reader {
 public:
  Reader(const json& file, std::string path) : file_(file), path_(std::move(path)) {}

  TokenizerContent read() {
    if (!file_.is_object()) refuse("a JSON object is expected");
    refuse_unknown(file_, "",
                   {"version", "truncation", "padding", "added_tokens", "normalizer", "pre_tokenizer", "post_processor",
                    "decoder", "model"});
    if (!is_none(file_, "normalizer"))
      refuse(message("normalizer ", type_of(file_["normalizer"]), " is not supported: byte-level BPE has none"));
    if (!is_none(file_, "decoder") && type_of(file_["decoder"]) != "ByteLevel")
      refuse(message("decoder ", type_of(file_["decoder"]), " is not supported, only ByteLevel"));
    read_pretokenizer();
    read_model();
    read_added();
    check_content(content_, path_);
    return std::move(content_);
  }

 private:
  [[noreturn]] void refuse(const std::string& what) const { throw Error(ExitCode::bad_input, path_ + ": " + what); }

  static bool is_none(const json& object, const char* key) { return !object.contains(key) || object[key].is_null(); }

  std::string type_of(const json& part) const {
    if (!part.is_object() || !part.contains("type") || !part["type"].is_string()) return "without a type";
    return part["type"].get<std::string>();
  }

  void refuse_unknown(const json& object, const std::string& inside, const std::vector<std::string>& known) const {
    for (const auto& [key, value] : object.items()) {
      if (std::find(known.begin(), known.end(), key) == known.end()) refuse(unknown_name("key", inside + key, known));
    }
  }

  bool flag(const json& object, const char* key, bool fallback, const std::string& inside) const {
    if (is_none(object, key)) return fallback;
    if (!object[key].is_boolean()) refuse(message(inside, key, " is ", object[key].dump(), ", not true or false"));
    return object[key].get<bool>();
  }

  void read_pretokenizer() {
    if (is_none(file_, "pre_tokenizer")) refuse("it has no pre_tokenizer; ByteLevel is needed");
    const json& part = file_["pre_tokenizer"];
    const std::string type = type_of(part);
    if (type == "ByteLevel") {
      if (!flag(part, "use_regex", true, "pre_tokenizer."))
        refuse("pre_tokenizer ByteLevel without its pattern (use_regex false) is not supported");
      content_.add_prefix_space = flag(part, "add_prefix_space", true, "pre_tokenizer.");
    } else if (type == "Sequence") {
      read_split(part);
    } else {
      refuse(message("pre_tokenizer ", type, " is not supported, only ByteLevel"));
    }
  }

  // The same thing in two steps, as some files have it: a split by the pattern, then the bytes.
  void read_split(const json& part) const {
    const json steps = part.value("pretokenizers", json::array());
    const bool two_steps =
        steps.is_array() && steps.size() == 2 && type_of(steps[0]) == "Split" && type_of(steps[1]) == "ByteLevel";
    if (!two_steps) refuse("pre_tokenizer Sequence is supported only as Split by the pattern of GPT-2, then ByteLevel");
    const json& split = steps[0];
    const json pattern = split.value("pattern", json());
    if (!pattern.is_object() || !pattern.contains("Regex") || pattern["Regex"] != gpt2_pattern_in_files)
      refuse("pre_tokenizer Split by another pattern than that of GPT-2 is not supported");
    if (split.value("behavior", json()) != "Isolated" || flag(split, "invert", false, "pre_tokenizer.Split."))
      refuse("pre_tokenizer Split is supported only with behavior Isolated and invert false");
    if (flag(steps[1], "use_regex", true, "pre_tokenizer.ByteLevel.") ||
        flag(steps[1], "add_prefix_space", true, "pre_tokenizer.ByteLevel."))
      refuse("pre_tokenizer ByteLevel after a Split must have use_regex and add_prefix_space false");
  }

  void read_model() {
    if (is_none(file_, "model") || !file_["model"].is_object()) refuse("it has no model");
    const json& model = file_["model"];
    if (!is_none(model, "type") && type_of(model) != "BPE")
      refuse(message("model ", type_of(model), " is not supported, only BPE"));
    refuse_unknown(model, "model.",
                   {"type", "dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk",
                    "byte_fallback", "ignore_merges", "vocab", "merges"});
    if (!is_none(model, "dropout") && model["dropout"] != 0.0)
      refuse("model.dropout is not supported: a text would get other ids each time");
    for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
      if (!is_none(model, key) && model[key] != "") refuse(message("model.", key, " is not supported"));
    }
    for (const char* key : {"byte_fallback", "ignore_merges"}) {
      if (flag(model, key, false, "model.")) refuse(message("model.", key, " is not supported"));
    }
    // unk_token and fuse_unk say what happens to bytes without a token; check_content() has none of those.
    ids_ = read_token_ids(model.value("vocab", json()), path_);
    read_merges(model.value("merges", json()));
  }

  void read_merges(const json& merges) {
    if (!merges.is_array()) refuse("model.merges is not a list");
    for (size_t rank = 0; rank < merges.size(); ++rank) {
      const json& merge = merges[rank];
      const std::string place = message(path_, ": model.merges[", rank, "]");
      if (merge.is_string()) {
        content_.merges.push_back(parse_merge(ids_, merge.get_ref<const std::string&>(), place));
      } else if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
        content_.merges.push_back(make_merge(ids_, merge[0].get<std::string>(), merge[1].get<std::string>(), place));
      } else {
        throw Error(ExitCode::bad_input, message(place, " is neither \"left right\" nor [\"left\", \"right\"]"));
      }
    }
  }

  // Added tokens may be in the model's vocabulary too; those that are not go on counting behind it.
  void read_added() {
    const json added = file_.value("added_tokens", json::array());
    if (!added.is_array()) refuse("added_tokens is not a list");
    for (const json& entry : added) {
      if (!entry.is_object() || !entry.contains("content") || !entry["content"].is_string())
        refuse("an entry of added_tokens has no content");
      AddedToken token;
      token.text = entry["content"].get<std::string>();
      const std::string inside = message("added token ", json(token.text).dump(), ": ");
      const json id = entry.value("id", json());
      if (!id.is_number_unsigned() || id.get<uint64_t>() > INT32_MAX)
        refuse(message(inside, "its id is ", id.dump(), "; ids count from 0"));
      token.id = static_cast<int32_t>(id.get<uint64_t>());
      const auto [known, fresh] = ids_.emplace(token.text, token.id);
      if (!fresh && known->second != token.id)
        refuse(message(inside, "its id is ", token.id, ", but in model.vocab it is ", known->second));
      token.single_word = flag(entry, "single_word", false, inside);
      token.lstrip = flag(entry, "lstrip", false, inside);
      token.rstrip = flag(entry, "rstrip", false, inside);
      token.special = flag(entry, "special", false, inside);
      token.normalized = flag(entry, "normalized", !token.special, inside);
      content_.added.push_back(std::move(token));
    }
    content_.tokens = tokens_by_id(ids_, path_);
  }

  const json& file_;
  std::string path_;
  TokenIds ids_;
  TokenizerContent content_;
};

}  // namespace

TokenizerContent parse_tokenizer_json(std::string_view text, const std::string& path) {
  const json file = parse_strict_json(text, path);
  return Reader(file, path).read();
}

TokenizerContent read_tokenizer_json(const std::string& path) { return parse_tokenizer_json(read_bounded(path), path); }

}  // namespace interlock
