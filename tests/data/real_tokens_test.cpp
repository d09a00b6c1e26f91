// Wikipedia articles in GPT-2's vocabulary, when the data is there: counts and sentences of real text.

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>

#include "runtime/data/packing.h"
#include "runtime/data/sentences.h"
#include "tests/data/token_support.h"

namespace interlock {
namespace {

std::filesystem::path data_folder() {
  const char* given = std::getenv("INTERLOCK_DATA");
  return given != nullptr ? std::filesystem::path(given)
                          : std::filesystem::path(INTERLOCK_SOURCE_FOLDER) / ".." / "shared" / "data";
}

std::string unpacked(const std::filesystem::path& path) {
  FILE* pipe = popen(("xz -dc '" + path.string() + "'").c_str(), "r");
  std::string text;
  std::array<char, 65536> buffer;
  for (size_t got; (got = fread(buffer.data(), 1, buffer.size(), pipe)) > 0;) text.append(buffer.data(), got);
  EXPECT_EQ(pclose(pipe), 0) << path;
  return text;
}

TEST(RealTokens, WikipediaInGpt2sVocabulary) {
  const auto text_path = data_folder() / "wiki-en-2014" / "valid.txt.xz", vocabulary = data_folder() / "gpt2-bpe";
  if (!std::filesystem::exists(text_path) || !std::filesystem::exists(vocabulary)) {
    GTEST_SKIP() << "no wiki-en-2014 and gpt2-bpe below " << data_folder() << " (set INTERLOCK_DATA)";
  }
  const std::string text = unpacked(text_path);
  const auto tokenizer = Tokenizer::open(vocabulary.string());
  const TemporaryFolder folder;
  const std::string prefix = folder.file("valid");
  const Ids ids = write_texts(prefix, {text}, *tokenizer).front();
  // Counted once by `tokenizers` 0.23 (ByteLevel without a prefix space): ids, and pre-tokens with a line feed.
  EXPECT_EQ(text.size(), 1393054u);
  EXPECT_EQ(ids.size(), 306635u);
  constexpr int64_t sentences = 5626;

  const SentenceTable table(*tokenizer);
  SentenceEnds finder(table);
  SentenceEnds::Found found;
  finder.add(ids, found);
  finder.finish(found);
  EXPECT_EQ(std::ssize(found.ends), sentences);
  std::vector<size_t> byte_ends;  // of the tokens
  size_t bytes = 0;
  for (const int32_t id : ids) byte_ends.push_back(bytes += tokenizer->bytes_of(id).size());
  EXPECT_EQ(bytes, text.size());
  size_t begin = 0, sentence = 0;
  for (const size_t end : pretoken_ends(text)) {
    if (text.find('\n', begin) < end) {
      ASSERT_LT(sentence, found.ends.size());
      ASSERT_EQ(byte_ends[static_cast<size_t>(found.ends[sentence++] - 1)], end);
    }
    begin = end;
  }

  const auto file = TokenFile::open(prefix);
  EXPECT_EQ(file->tokens(), std::ssize(ids));
  const PackedSamples packed = pack(file, *tokenizer, {126, true}, 0).training;
  Ids all, sample(126);
  for (int64_t i = 0; i < packed.size(); ++i) {
    const int64_t count = packed.read(i, sample);
    all.insert(all.end(), sample.begin(), sample.begin() + count);
  }
  EXPECT_EQ(all, ids);
}

}  // namespace
}  // namespace interlock
