#pragma once
// A small tokenizer, token files of texts, and texts full of white space.

#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "runtime/data/token_file.h"
#include "runtime/data/tokenizer.h"
#include "runtime/data/tokenizer/byte_alphabet.h"
#include "tests/data/support.h"

namespace interlock {

using Ids = std::vector<int32_t>;

// <s> <pad> </s> <unk>, the bytes, what a few merges make, <mask>; without the tokens in `missing`.
inline std::shared_ptr<const Tokenizer> small_tokenizer(const std::string& folder,
                                                        const std::vector<std::string>& missing = {}) {
  const std::vector<std::pair<std::string, std::string>> merges = {
      {" ", "t"}, {"h", "e"},     {" t", "he"},     {"\n", "\n"},         {" ", " "},
      {"i", "n"}, {"\n\n", "\n"}, {"\xe3", "\x80"}, {"\xe3\x80", "\x80"}, {"\n", "  "},
  };
  nlohmann::ordered_json vocabulary;
  const auto add = [&](const std::string& token) {
    if (std::ranges::find(missing, token) == missing.end()) vocabulary.emplace(token, vocabulary.size());
  };
  for (const char* special : {"<s>", "<pad>", "</s>", "<unk>"}) add(special);
  for (const uint8_t byte : alphabet_order()) add(alphabet_character(byte));
  std::string lines = "#version: 0.2\n";
  for (const auto& [left, right] : merges) {
    add(to_alphabet(left + right));
    lines += to_alphabet(left) + " " + to_alphabet(right) + "\n";
  }
  add("<mask>");
  std::filesystem::create_directories(folder);
  put(folder + "/vocab.json", vocabulary.dump());
  put(folder + "/merges.txt", lines);
  return Tokenizer::open(folder);
}

inline Ids ids_of(const Tokenizer& tokenizer, const std::string& text) {
  Ids ids;
  tokenizer.encode(text, ids);
  return ids;
}

inline void write_tokens(const std::string& prefix, const std::vector<Ids>& documents, int64_t vocabulary) {
  TokenFileWriter writer(prefix, vocabulary);
  for (const Ids& ids : documents) writer.add(ids);
  writer.commit();
}

inline std::vector<Ids> write_texts(const std::string& prefix, const std::vector<std::string>& texts,
                                    const Tokenizer& tokenizer) {
  std::vector<Ids> documents;
  for (const std::string& text : texts) documents.push_back(ids_of(tokenizer, text));
  write_tokens(prefix, documents, tokenizer.vocabulary());
  return documents;
}

// Words, runs of white space of every kind, line feeds, and characters that look like white space but are none.
inline std::string spaced_text(std::mt19937& random, size_t pieces) {
  static const std::vector<std::string> all = {
      "the",
      "in",
      " the",
      "12",
      "!",
      "'s",
      "é",
      "日本",
      "\n",
      "\n",
      "\n",
      "\n",
      " ",
      " ",
      "  ",
      "\t",
      "\v",
      "\f",
      "\r",
      "\r\n",
      "\xc2\x85",
      "\xc2\xa0",
      "\xe1\x9a\x80",
      "\xe2\x80\x80",
      "\xe2\x80\x83",
      "\xe2\x80\x8a",
      "\xe2\x80\xa8",
      "\xe2\x80\xa9",
      "\xe2\x80\xaf",
      "\xe2\x81\x9f",
      "\xe3\x80\x80",
      "\xe1\xa0\x8e",
      "\xe2\x80\x8b",
      "\xe2\x80\x8d",
      "\xef\xbb\xbf",
      "\x1c",
      "\xe3\x80\x81",
  };
  std::string text;
  for (size_t i = 0; i < pieces; ++i) text += all[random() % all.size()];
  return text;
}

// Words in lines of up to `words` words, for texts with sentences of known lengths.
inline std::string lined_text(std::mt19937& random, size_t lines, size_t words) {
  std::string text;
  for (size_t line = 0; line < lines; ++line) {
    const size_t count = random() % words;
    for (size_t i = 0; i < count; ++i) text += i % 3 == 0 ? " the" : i % 3 == 1 ? " in" : " x";
    text += random() % 8 == 0 ? "\n\n" : "\n";
  }
  return text;
}

}  // namespace interlock
