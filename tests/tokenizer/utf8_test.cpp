// UTF-8 against Python's decoder (golden file), and pieces against the whole.
#include "runtime/data/tokenizer/utf8.h"

#include <gmock/gmock.h>

#include "tests/tokenizer/support.h"

namespace interlock {
namespace {

using nlohmann::json;
using testing::HasSubstr;

std::string bytes_from(const std::string& hex) {
  std::string bytes;
  for (size_t at = 0; at < hex.size(); at += 2) bytes += static_cast<char>(std::stoi(hex.substr(at, 2), nullptr, 16));
  return bytes;
}

std::string decoded(const std::string& bytes, size_t piece) {
  Utf8Stream stream(Utf8Stream::OnInvalid::replace, "file");
  std::string text;
  for (size_t at = 0; at < bytes.size(); at += piece) stream.add(std::string_view(bytes).substr(at, piece), text);
  stream.finish(text);
  return text;
}

TEST(Utf8, ReplacesAsPythonDoes) {
  const json cases = json::parse(content_of(golden("encodings.json")))["broken"];
  ASSERT_GT(cases.size(), 30U);
  for (const json& one : cases) {
    const std::string bytes = bytes_from(one["hex"]);
    for (const size_t piece : {size_t{1}, size_t{2}, size_t{3}, size_t{7}, bytes.size()})
      EXPECT_EQ(decoded(bytes, piece), one["text"].get<std::string>()) << one["hex"] << " by " << piece;
  }
}

TEST(Utf8, CountsReplacements) {
  Utf8Stream stream(Utf8Stream::OnInvalid::replace, "file");
  std::string text;
  stream.add("a\xFF\xE2\x82", text);
  EXPECT_EQ(stream.replaced(), 1);  // the second may still become a euro sign
  stream.finish(text);
  EXPECT_EQ(stream.replaced(), 2);
  EXPECT_EQ(text, "a\uFFFD\uFFFD");
}

TEST(Utf8, EveryCharacterSurvivesAndStepsBothWays) {
  for (char32_t character = 0; character < 0x110000; ++character) {
    if (character >= 0xD800 && character < 0xE000) continue;
    std::string text = "x";
    append_utf8(character, text);
    const Utf8Step step = utf8_step(text, 1), back = utf8_step_back(text, text.size());
    ASSERT_TRUE(step.valid && back.valid) << static_cast<uint32_t>(character);
    ASSERT_EQ(step.character, character);
    ASSERT_EQ(back.character, character);
    ASSERT_EQ(step.length, text.size() - 1);
    ASSERT_EQ(back.length, text.size() - 1);
  }
}

TEST(Utf8, AnErrorNamesFileAndOffset) {
  const std::string bytes = std::string(1000, 'a') + "é\xC3(";
  for (const size_t piece : {size_t{1}, size_t{1002}, size_t{1003}, bytes.size()}) {
    const std::string words = reason([&] {
      Utf8Stream stream(Utf8Stream::OnInvalid::error, "some/file.txt");
      std::string text;
      for (size_t at = 0; at < bytes.size(); at += piece) stream.add(std::string_view(bytes).substr(at, piece), text);
      stream.finish(text);
    });
    EXPECT_THAT(words, HasSubstr("some/file.txt: not UTF-8 at byte 1002 (0xc3)")) << piece;
  }
}

TEST(Utf8, ACharacterCutShortByTheEndIsAnError) {
  EXPECT_THAT(reason([] {
                Utf8Stream stream(Utf8Stream::OnInvalid::error, "file");
                std::string text;
                stream.add("ab\xE2\x82", text);
                EXPECT_EQ(text, "ab");
                stream.finish(text);
              }),
              HasSubstr("file: not UTF-8 at byte 2 (0xe2, a character cut short)"));
}

}  // namespace
}  // namespace interlock
