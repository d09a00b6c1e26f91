#pragma once
// What tests of the tokenizer share: the golden files, folders, random text, and plain ways to the same results.

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "runtime/core/error.h"
#include "runtime/data/tokenizer/byte_level_tokenizer.h"
#include "runtime/data/tokenizer/utf8.h"

namespace interlock {

inline std::string golden(const std::string& name) { return std::string(TOKENIZER_GOLDEN) + "/" + name; }

inline std::string content_of(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file) << path;
  return std::string(std::istreambuf_iterator<char>(file), {});
}

class WithFolder : public testing::Test {
 protected:
  WithFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "interlock-tokenizer-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("no temporary folder");
    folder_ = name;
  }
  ~WithFolder() override { std::filesystem::remove_all(folder_); }
  std::string path(const std::string& name) const { return folder_ / name; }
  std::string write(const std::string& name, const std::string& content) const {
    std::filesystem::create_directories((folder_ / name).parent_path());
    std::ofstream(folder_ / name, std::ios::binary) << content;
    return folder_ / name;
  }

 private:
  std::filesystem::path folder_;
};

inline std::vector<int32_t> ids_of(const Tokenizer& tokenizer, std::string_view text) {
  std::vector<int32_t> ids;
  tokenizer.encode(text, ids);
  return ids;
}

// Characters where pre-tokens, added tokens and UTF-8 have their corners.
inline std::string random_text(std::mt19937& draw, size_t pieces) {
  static const std::vector<std::string> corners = {" ",
                                                   " ",
                                                   "  ",
                                                   "\n",
                                                   "\r\n",
                                                   "\t",
                                                   "\u00a0",
                                                   "\u2028",
                                                   "\u3000",
                                                   "\u0085",
                                                   "'",
                                                   "'s",
                                                   "'ll",
                                                   "''",
                                                   "a",
                                                   "b",
                                                   "it",
                                                   "Z",
                                                   "é",
                                                   "e\u0301",
                                                   "1",
                                                   "23",
                                                   "²",
                                                   "中",
                                                   "の",
                                                   "ب",
                                                   "🙂",
                                                   "\u200b",
                                                   std::string(1, '\0'),
                                                   "!",
                                                   "...",
                                                   "<mask>",
                                                   "<s>",
                                                   "</s>",
                                                   "<",
                                                   ">",
                                                   "<r>",
                                                   "It",
                                                   "two",
                                                   " two",
                                                   "\ufffd",
                                                   "learn",
                                                   "ing",
                                                   " the"};
  std::string text;
  for (size_t piece = 0; piece < pieces; ++piece) {
    if (draw() % 12 == 0) {
      char32_t character = draw() % 0x110000;
      if (character >= 0xD800 && character < 0xE000) character = 'x';
      append_utf8(character, text);
    } else {
      text += corners[draw() % corners.size()];
    }
  }
  return text;
}

// The reason of the Error that `act` throws; fails when it throws none or with another code.
template <class Act>
std::string reason(Act act, ExitCode code = ExitCode::bad_input) {
  try {
    act();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "nothing was refused";
  return "";
}

}  // namespace interlock
