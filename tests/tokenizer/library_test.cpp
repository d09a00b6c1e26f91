// Against the `tokenizers` library itself, where a Python has it: INTERLOCK_PYTHON, or python3. Real text comes from
// INTERLOCK_DATA (../shared/data beside the sources unless said otherwise) and from the compiler's headers.
#include <gmock/gmock.h>

#include <cstdlib>
#include <cstring>

#include "runtime/data/tokenizer/read_content.h"
#include "runtime/data/tokenizer/train.h"
#include "tests/tokenizer/support.h"

namespace interlock {
namespace {

namespace fs = std::filesystem;

std::string quoted(const std::string& word) { return "'" + word + "'"; }  // no path of ours has a quote in it

std::string python() {
  const char* told = std::getenv("INTERLOCK_PYTHON");
  return told != nullptr ? told : "python3";
}

bool run_python(const std::vector<std::string>& words, const std::string& log) {
  std::string command = quoted(python()) + " " + quoted(LIBRARY_SCRIPT);
  for (const std::string& word : words) command += " " + quoted(word);
  return std::system((command + " >" + quoted(log) + " 2>&1").c_str()) == 0;
}

fs::path data(const std::string& name) {
  const char* told = std::getenv("INTERLOCK_DATA");
  return fs::path(told != nullptr ? told : TEST_DATA) / name;
}

class Library : public WithFolder {
 protected:
  void SetUp() override {
    if (!run_python({"versions"}, path("log")))
      GTEST_SKIP() << python() << " has no `tokenizers` library; say with INTERLOCK_PYTHON which Python does";
  }
  void run(const std::vector<std::string>& words) const {
    ASSERT_TRUE(run_python(words, path("log"))) << content_of(path("log"));
  }
  static std::vector<int32_t> read_ids(const std::string& file) {
    const std::string bytes = content_of(file);
    std::vector<int32_t> ids(bytes.size() / sizeof(int32_t));
    std::memcpy(ids.data(), bytes.data(), ids.size() * sizeof(int32_t));
    return ids;
  }
  // Every file of `files` has the same ids there and here. `theirs` is what library.py calls TOKENIZER.
  void expect_agreement(const Tokenizer& ours, const std::string& theirs, const std::vector<std::string>& files) const {
    std::vector<std::string> words = {"encode", theirs};
    words.insert(words.end(), files.begin(), files.end());
    run(words);
    for (const std::string& file : files) {
      Utf8Stream stream(Utf8Stream::OnInvalid::replace, file);
      std::string text;
      stream.add(content_of(file), text);
      stream.finish(text);
      const std::vector<int32_t> expected = read_ids(file + ".ids"), found = ids_of(ours, text);
      const auto [one, other] = std::mismatch(found.begin(), found.end(), expected.begin(), expected.end());
      EXPECT_TRUE(found == expected) << file << ": " << found.size() << " and " << expected.size()
                                     << " tokens, the first that differs is token " << one - found.begin();
      EXPECT_GT(found.size(), 0U) << file;
    }
  }
  // Some 600 KB each: the library encodes about a megabyte a second.
  std::string headers() const {
    std::string code;
    for (const auto& entry : fs::recursive_directory_iterator("/usr/include/c++")) {
      if (entry.is_regular_file() && code.size() < 600'000) code += content_of(entry.path());
    }
    return write("headers", code);
  }
  std::string random_bytes() const {
    std::mt19937 draw(10);
    std::string bytes;
    while (bytes.size() < 200'000) bytes += static_cast<char>(draw() % 3 == 0 ? draw() : 0x20 + draw() % 0x60);
    return write("bytes", bytes);
  }
  std::string random_unicode() const {
    std::mt19937 draw(11);
    return write("unicode", random_text(draw, 60'000));
  }
  // Each character of the first plane and each sixteenth of the others, between letters, numbers and spaces.
  std::string all_characters() const {
    std::string text;
    static constexpr std::string_view beside = "a1 !\n";
    size_t number = 0;
    for (char32_t character = 1; character < 0x110000; character += character < 0x10000 ? 1 : 16) {
      if (character >= 0xD800 && character < 0xE000) continue;
      append_utf8(character, text);
      if (++number % 2 == 0) text += beside[number / 2 % beside.size()];
    }
    return write("characters", text);
  }
  // The first part of wiki text, unpacked by the system's xz; empty when it is not here.
  std::string wiki() const {
    const fs::path packed = data("wiki-en-2014/valid.txt.xz");
    const std::string command = "xzcat " + quoted(packed) + " 2>/dev/null | head -c 600000 >" + quoted(path("wiki"));
    if (!fs::exists(packed) || std::system(command.c_str()) != 0) return "";
    return path("wiki");
  }
};

TEST_F(Library, AgreesOnEverything) {
  expect_agreement(*Tokenizer::open(golden("tokenizer.json")), golden("tokenizer.json"),
                   {headers(), random_bytes(), random_unicode(), all_characters()});
}

TEST_F(Library, ReadsWhatWeTrainAndSave) {
  const std::string text = content_of(golden("corpus.txt"));
  WordCounts words(1);
  words.add_text(text, 0);
  words.finish();
  const ByteLevelTokenizer tokenizer(train_bpe(words, {400, 2, {}}));
  tokenizer.save(path("saved"));
  expect_agreement(tokenizer, path("saved/tokenizer.json"), {random_unicode(), write("corpus", text)});
  expect_agreement(tokenizer, path("saved/vocab.json") + "," + path("saved/merges.txt"),
                   {write("code", "a += b[i];\n")});
}

TEST_F(Library, LearnsTheSameMerges) {
  for (const std::string& corpus : {headers(), wiki()}) {
    if (corpus.empty()) continue;  // said by the next test
    run({"train", corpus, "3000", path("merges")});
    WordCounts words(2);
    words.add_text(content_of(corpus), 0);
    words.finish();
    const TokenizerContent content = train_bpe(words, {3000, 2, {}});
    std::string lines;
    for (const Merge& merge : content.merges)
      lines += content.tokens[static_cast<size_t>(merge.left)] + " " +
               content.tokens[static_cast<size_t>(merge.right)] + "\n";
    EXPECT_EQ(content.merges.size(), 3000U - 261);
    EXPECT_TRUE(lines == content_of(path("merges"))) << corpus;
  }
}

TEST_F(Library, AgreesOnWikiWithGpt2sVocabulary) {
  const fs::path gpt2 = data("gpt2-bpe");
  const std::string text = wiki();
  if (!fs::exists(gpt2 / "encoder.json") || text.empty())
    GTEST_SKIP() << "no gpt2-bpe and wiki-en-2014 (or no xz) in " << data("") << "; say with INTERLOCK_DATA where";
  const auto tokenizer = Tokenizer::open(gpt2);
  EXPECT_EQ(tokenizer->vocabulary(), 50257);
  const std::string pair = (gpt2 / "encoder.json").string() + "," + (gpt2 / "vocab.bpe").string();
  expect_agreement(*tokenizer, pair, {text, write("marks", "one<|endoftext|>two <|endoftext|>\n")});
  tokenizer->save(path("saved"));
  expect_agreement(*tokenizer, path("saved/tokenizer.json"), {random_unicode(), random_bytes()});
}

TEST_F(Library, TransformersOpensWhatWeSave) {
  if (std::system((quoted(python()) + " -c 'import transformers' >/dev/null 2>&1").c_str()) != 0)
    GTEST_SKIP() << python() << " has no `transformers` library";
  const auto tokenizer = Tokenizer::open(golden(""));
  tokenizer->save(path("saved"));
  const std::string text = "The ferry  leaves at <mask>, they've   said: größe 東京 🙂\n\n",
                    file = write("text", text);
  run({"pretrained", path("saved"), file});
  const std::vector<int32_t> ids = ids_of(*tokenizer, text);
  EXPECT_EQ(read_ids(file + ".ids"), ids);
  std::vector<int32_t> whole = {0};
  whole.insert(whole.end(), ids.begin(), ids.end());
  whole.push_back(2);
  EXPECT_EQ(read_ids(file + ".whole.ids"), whole);
  EXPECT_EQ(read_ids(file + ".special.ids"), (std::vector<int32_t>{0, 1, 2, 3, 639}));
}

}  // namespace
}  // namespace interlock
