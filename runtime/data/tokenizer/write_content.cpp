// Files of a tokenizer as the Hugging Face libraries read them, and the fingerprint.

#include <filesystem>
#include <nlohmann/json.hpp>

#include "runtime/core/error.h"
#include "runtime/data/tokenizer/byte_level_tokenizer.h"
#include "runtime/storage/atomic_file.h"
#include "runtime/storage/sha256.h"

namespace interlock {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

ordered_json added_tokens_json(const TokenizerContent& content) {
  ordered_json list = ordered_json::array();
  for (const AddedToken& token : content.added) {
    list.push_back({{"id", token.id},
                    {"content", token.text},
                    {"single_word", token.single_word},
                    {"lstrip", token.lstrip},
                    {"rstrip", token.rstrip},
                    {"normalized", token.normalized},
                    {"special", token.special}});
  }
  return list;
}

ordered_json vocabulary_json(const TokenizerContent& content) {
  ordered_json ids = ordered_json::object();
  // Not ids[token] = ..., which searches all that is there.
  auto& entries = ids.get_ref<ordered_json::object_t&>();
  for (size_t id = 0; id < content.tokens.size(); ++id)
    entries.ordered_json::object_t::Container::emplace_back(content.tokens[id], id);
  return ids;
}

std::vector<std::string> merge_lines(const TokenizerContent& content) {
  std::vector<std::string> lines;
  for (const Merge& merge : content.merges)
    lines.push_back(content.tokens[static_cast<size_t>(merge.left)] + " " +
                    content.tokens[static_cast<size_t>(merge.right)]);
  return lines;
}

// RoBERTa's where there is <s> and </s> to put around a text.
ordered_json post_processor(const TokenizerContent& content, const Tokenizer::Specials& specials) {
  if (specials.begin < 0 || specials.end < 0)
    return {{"type", "ByteLevel"}, {"add_prefix_space", true}, {"trim_offsets", true}, {"use_regex", true}};
  return {{"type", "RobertaProcessing"},
          {"sep", ordered_json::array({"</s>", specials.end})},
          {"cls", ordered_json::array({"<s>", specials.begin})},
          {"trim_offsets", true},
          {"add_prefix_space", content.add_prefix_space}};
}

ordered_json tokenizer_json(const TokenizerContent& content, const Tokenizer::Specials& specials) {
  const ordered_json bytes = {
      {"type", "ByteLevel"}, {"add_prefix_space", true}, {"trim_offsets", true}, {"use_regex", true}};
  ordered_json pretokenizer = bytes;
  pretokenizer["add_prefix_space"] = content.add_prefix_space;
  return {{"version", "1.0"},
          {"truncation", nullptr},
          {"padding", nullptr},
          {"added_tokens", added_tokens_json(content)},
          {"normalizer", nullptr},
          {"pre_tokenizer", pretokenizer},
          {"post_processor", post_processor(content, specials)},
          {"decoder", bytes},
          {"model",
           {{"type", "BPE"},
            {"dropout", nullptr},
            {"unk_token", nullptr},
            {"continuing_subword_prefix", ""},
            {"end_of_word_suffix", ""},
            {"fuse_unk", false},
            {"byte_fallback", false},
            {"ignore_merges", false},
            {"vocab", vocabulary_json(content)},
            {"merges", merge_lines(content)}}}};
}

}  // namespace

void ByteLevelTokenizer::save(const std::string& folder) const {
  std::error_code problem;
  fs::create_directories(folder, problem);
  if (problem) throw Error(ExitCode::cannot_write, message("cannot make ", folder, ": ", problem.message()));
  std::string lines = "#version: 0.2\n";
  for (const std::string& line : merge_lines(content_)) lines += line + "\n";
  write_atomically(fs::path(folder) / "vocab.json", vocabulary_json(content_).dump());
  write_atomically(fs::path(folder) / "merges.txt", lines);
  write_atomically(fs::path(folder) / "tokenizer.json", tokenizer_json(content_, specials_).dump(1));
}

std::string ByteLevelTokenizer::fingerprint() const {
  // Each list with its length, each text with its size, so that no two contents give one stream of bytes.
  Sha256 digest;
  const auto add_text = [&](const std::string& text) { digest.add(message(text.size(), ":", text)); };
  digest.add(message("tokens ", content_.tokens.size(), "\n"));
  for (const std::string& token : content_.tokens) add_text(token);
  digest.add(message("merges ", content_.merges.size(), "\n"));
  for (const Merge& merge : content_.merges) digest.add(message(merge.left, " ", merge.right, "\n"));
  // Added tokens by id, for files list them in any order. `normalized` stays out: files of one tokenizer differ in it
  // (published RoBERTa files among them), and without a normalizer it says nothing but the order of two searches.
  std::vector<AddedToken> added = content_.added;
  std::sort(added.begin(), added.end(), [](const auto& one, const auto& other) { return one.id < other.id; });
  digest.add(message("added ", added.size(), "\n"));
  for (const AddedToken& token : added) {
    add_text(token.text);
    digest.add(message(" ", token.id, token.single_word, token.lstrip, token.rstrip, token.special, "\n"));
  }
  digest.add(message("prefix ", content_.add_prefix_space, "\n"));
  return digest.hex();
}

}  // namespace interlock
