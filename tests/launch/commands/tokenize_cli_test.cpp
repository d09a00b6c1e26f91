// `interlock tokenize` on the command line: text to tokens and back, and what it says about bad input.
#include <gmock/gmock.h>
#include <signal.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/support/small_project.h"

namespace interlock {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::IsEmpty;

class Tokenize : public SmallProject {
 protected:
  Tokenize() {
    std::string text;
    for (int line = 0; line < 400; ++line)
      text += "line " + std::to_string(line * line) + ": the kettle isn't   on; größe 東京 🙂\n" +
              (line % 4 == 3 ? "\n" : "");
    text_ = text;
    write("text/one.txt", text);
    write("text/two.txt", "the end\n");
  }
  CommandResult tokenize(const Words& words, const CommandOptions& options = {}) const {
    Words all = {"tokenize"};
    all.insert(all.end(), words.begin(), words.end());
    return interlock(all, options);
  }
  json train(const std::string& folder = "bpe", const std::string& vocabulary = "300") const {
    const CommandResult result =
        tokenize({"train", "--input", "text", "--vocabulary", vocabulary, "--output", folder, "--json"});
    expect_done(result);
    return last_object(result);
  }
  json encode(const Words& more, const std::string& prefix = "tokens") const {
    Words words = {"encode", "--tokenizer", "bpe", "--output", prefix, "--json"};
    words.insert(words.end(), more.begin(), more.end());
    const CommandResult result = tokenize(words);
    expect_done(result);
    return last_object(result);
  }
  std::string decoded(const std::string& prefix = "tokens", const Words& more = {}) const {
    Words words = {"decode", "--tokenizer", "bpe", prefix};
    words.insert(words.end(), more.begin(), more.end());
    const CommandResult result = tokenize(words);
    expect_done(result);
    return result.output;
  }
  std::string text_;
};

// Larger than any buffer: what is lost on the way is told at the end.
TEST_F(Tokenize, TextThatCannotBeWrittenIsNoSuccess) {
  train();
  std::string large;
  while (large.size() < 300000) large += text_ + "\n";
  write("large.txt", large);
  encode({"--input", "large.txt"});
  CommandOptions full;
  full.output_file = "/dev/full";
  expect_failure(tokenize({"decode", "--tokenizer", "bpe", "tokens"}, full), 73, {"standard output"});
}

TEST_F(Tokenize, ThereAndBack) {
  const json trained = train();
  EXPECT_EQ(trained["vocabulary"], 300);
  EXPECT_EQ(trained["files"], 2);
  EXPECT_EQ(trained["bytes"], text_.size() + 8);
  for (const char* name : {"bpe/tokenizer.json", "bpe/vocab.json", "bpe/merges.txt"}) EXPECT_FALSE(read(name).empty());
  const json encoded = encode({"--input", "text/two.txt", "text/one.txt"});
  EXPECT_EQ(encoded["documents"], 2);
  EXPECT_EQ(encoded["fingerprint"], trained["fingerprint"]);
  EXPECT_EQ(read("tokens.bin").size(), 2 * encoded["tokens"].get<size_t>());  // uint16
  EXPECT_EQ(decoded(), "the end\n" + text_);                                  // in the order of the command line
  EXPECT_EQ(decoded("tokens", {"--separator", "\\n--\\n"}), "the end\n\n--\n" + text_ + "\n--\n");
  const CommandResult file = tokenize({"decode", "--tokenizer", "bpe", "tokens", "--output", "back.txt", "--json"});
  expect_done(file);
  EXPECT_EQ(last_object(file)["bytes"], text_.size() + 8);
  EXPECT_EQ(read("back.txt"), "the end\n" + text_);
  expect_no_half_files(path());
}

TEST_F(Tokenize, ThreadsChangeNoByte) {
  // Larger than a block, so that documents are cut.
  std::string large;
  while (large.size() < 3'000'000) large += text_;
  write("large.txt", large);
  write("wide.txt", text_);
  const auto train_with = [&](const std::string& threads, const std::string& folder) {
    expect_done(tokenize({"train", "--input", "large.txt", "wide.txt", "--vocabulary", "320", "--threads", threads,
                          "--output", folder}));
  };
  train_with("1", "bpe");
  train_with("3", "again");
  for (const char* name : {"/tokenizer.json", "/vocab.json", "/merges.txt"})
    EXPECT_EQ(read(std::string("bpe") + name), read(std::string("again") + name));
  for (const char* kind : {"file", "line"}) {
    encode({"--input", "large.txt", "--threads", "1", "--document", kind, "--overwrite"}, "one");
    encode({"--input", "large.txt", "--threads", "4", "--document", kind, "--overwrite"}, "four");
    EXPECT_EQ(read("one.bin"), read("four.bin")) << kind;
    EXPECT_EQ(read("one.idx"), read("four.idx")) << kind;
  }
}

TEST_F(Tokenize, DocumentsAreWhatIsAskedFor) {
  train();
  EXPECT_EQ(encode({"--input", "text"})["documents"], 2);
  EXPECT_EQ(encode({"--input", "text", "--document", "line", "--overwrite"})["documents"], 401);
  EXPECT_EQ(encode({"--input", "text", "--document", "blank_line", "--overwrite"})["documents"], 101);
  write("lines.jsonl", "{\"body\": \"the end\"}\n{\"body\": \"größe\", \"n\": 1}\n");
  EXPECT_EQ(encode({"--input", "lines.jsonl", "--document", "jsonl:body", "--overwrite"})["documents"], 2);
  EXPECT_EQ(decoded("tokens", {"--separator", "\\n"}), "the end\ngröße\n");
}

TEST_F(Tokenize, WhatIsEmptyIsPassedOverBesideText) {
  train();
  for (const char* name : {"none.txt", "nothing/one.txt", "nothing/deep/two.txt", "no1.log", "no2.log"})
    write(name, "");
  EXPECT_EQ(encode({"--input", "nothing", "text/two.txt", "no*.log", "none.txt"})["documents"], 1);
  EXPECT_EQ(decoded(), "the end\n");
  const CommandResult trained = tokenize(
      {"train", "--input", "nothing", "text", "no*.log", "--vocabulary", "300", "--output", "other", "--json"});
  expect_done(trained);
  EXPECT_EQ(last_object(trained)["files"], 2);
  expect_failure(tokenize({"encode", "--tokenizer", "bpe", "--input", "nothing", "no*.log", "--output", "out"}), 65,
                 {"--input", "no bytes found", "nothing"});
}

TEST_F(Tokenize, InvalidUtf8IsAnErrorOrReplaced) {
  train();
  write("broken.txt", text_ + "caf\xE9 x");
  const std::string place = "broken.txt: not UTF-8 at byte " + std::to_string(text_.size() + 3) + " (0xe9)";
  for (const Words& words : {Words{"encode", "--tokenizer", "bpe", "--input", "broken.txt", "--output", "out/tokens"},
                             Words{"train", "--vocabulary", "300", "--input", "broken.txt", "--output", "out/bpe"}})
    expect_failure(tokenize(words), 65, {place, "--invalid-utf8 replace"});
  EXPECT_THAT(files("out"), IsEmpty());
  const json encoded = encode({"--input", "broken.txt", "--invalid-utf8", "replace"});
  EXPECT_EQ(encoded["replaced"], 1);
  EXPECT_EQ(decoded(), text_ + "caf\uFFFD x");
}

TEST_F(Tokenize, NothingIsWrittenOver) {
  train();
  encode({"--input", "text"});
  const auto before = files();
  expect_failure(tokenize({"train", "--input", "text", "--vocabulary", "270", "--output", "bpe"}), 73,
                 {"bpe/tokenizer.json is there already", "--overwrite"});
  expect_failure(tokenize({"encode", "--tokenizer", "bpe", "--input", "text/two.txt", "--output", "tokens"}), 73,
                 {"tokens.bin is there already", "--overwrite"});
  expect_failure(tokenize({"decode", "--tokenizer", "bpe", "tokens", "--output", "text/one.txt"}), 73,
                 {"text/one.txt is there already"});
  EXPECT_EQ(files(), before);
  encode({"--input", "text/two.txt", "--overwrite"});
  EXPECT_EQ(decoded(), "the end\n");
}

TEST_F(Tokenize, WhatIsMissingIsNamed) {
  train();
  write("empty.txt", "");
  write("blank.txt", "\n\n");
  const auto encode_words = [](const std::string& tokenizer, const std::string& input) {
    return Words{"encode", "--tokenizer", tokenizer, "--input", input, "--output", "out", "--document", "line"};
  };
  expect_failure(tokenize(encode_words("bpe", "nowhere.txt")), 65, {"--input: nowhere.txt does not exist"});
  expect_failure(tokenize(encode_words("bpe", "empty.txt")), 65, {"--input", "empty.txt"});
  expect_failure(tokenize(encode_words("bpe", "blank.txt")), 65, {"no text"});
  expect_failure(tokenize(encode_words("nowhere", "text")), 65, {"tokenizer nowhere does not exist"});
  expect_failure(tokenize({"decode", "--tokenizer", "bpe", "nowhere"}), 65, {"nowhere"});
  expect_no_half_files(path());
}

TEST_F(Tokenize, WrongWordsAreUsage) {
  EXPECT_EQ(tokenize({}).code, 2);
  EXPECT_EQ(tokenize({"encoed"}).code, 2);
  EXPECT_EQ(tokenize({"encode", "--input", "text"}).code, 2);
  EXPECT_EQ(tokenize({"train", "--input", "text", "--vocabulary", "300", "--output", "x", "--threads", "0"}).code, 2);
  EXPECT_EQ(
      tokenize({"train", "--input", "text", "--vocabulary", "300", "--output", "x", "--invalid-utf8", "ignore"}).code,
      2);
  expect_failure(tokenize({"train", "--input", "text", "--vocabulary", "260", "--output", "x"}), 2,
                 {"--vocabulary 260", "261"});
  expect_failure(tokenize({"train", "--input", "text", "--vocabulary", "300", "--output", "x", "--document", "page"}),
                 2, {"--document page"});
  train();
  encode({"--input", "text"});
  expect_failure(tokenize({"decode", "--tokenizer", "bpe", "tokens", "--json"}), 2, {"--json needs --output"});
}

TEST_F(Tokenize, TokensOfAnotherTokenizerAreNamed) {
  train();
  encode({"--input", "text/two.txt", "text/one.txt"});
  train("smaller", "262");
  expect_failure(tokenize({"decode", "--tokenizer", "smaller", "tokens"}), 65,
                 {"tokens.bin: document ", ", token ", "has the id ", "vocabulary of smaller has 262"});
}

TEST_F(Tokenize, ASmallerVocabularyThanAskedForIsSaid) {
  write("few.txt", "ab ab");
  const CommandResult result = tokenize({"train", "--input", "few.txt", "--vocabulary", "300", "--output", "few"});
  expect_done(result);
  EXPECT_THAT(result.output, HasSubstr("smaller than the 300 asked for"));
}

TEST_F(Tokenize, AFullDiskLeavesNothing) {
  train();
  CommandOptions options;
  options.largest_file = 4096;
  expect_failure(tokenize({"encode", "--tokenizer", "bpe", "--input", "text", "--output", "out/tokens"}, options), 73,
                 {"out/tokens"});
  EXPECT_THAT(files("out"), IsEmpty());
  expect_failure(tokenize({"train", "--input", "text", "--vocabulary", "300", "--output", "other"}, options), 73,
                 {"other/"});
  expect_no_half_files(path("other"));
}

#ifndef __SANITIZE_ADDRESS__  // it reserves terabytes
// One document of 400 MB, of words that are one token each so that it takes a second, with half of it as memory: the
// program itself (LibTorch, a block, a thread) needs 160 MB.
TEST_F(Tokenize, AFileLargerThanMemory) {
  std::string line;
  for (const char* word : {"the", "international", "conference", "considered", "mathematical", "transformations"})
    line += std::string(word) + " ";
  line.back() = '\n';
  std::string block;
  while (block.size() < 1'000'000) block += line;
  write("text/one.txt", block);
  train();
  const auto encode_large = [&](uint64_t most_memory) {
    CommandOptions options;
    options.most_memory = most_memory;
    return tokenize({"encode", "--tokenizer", "bpe", "--input", "large.txt", "--threads", "1", "--output", "tokens",
                     "--json", "--overwrite"},
                    options);
  };
  std::ofstream large(path("large.txt"), std::ios::binary);
  for (int i = 0; i < 400; ++i) large << block;
  large.close();
  const CommandResult result = encode_large(200'000'000);
  expect_done(result);
  const json encoded = last_object(result);
  EXPECT_EQ(encoded["bytes"].get<size_t>(), 400 * block.size());
  EXPECT_EQ(encoded["documents"], 1);
  // Blocks end with a line: the document is 400 times the tokens of one.
  const json once = encode({"--input", "text/one.txt"}, "once");
  EXPECT_EQ(encoded["tokens"].get<size_t>(), 400 * once["tokens"].get<size_t>());
  const std::string all = read("tokens.bin"), part = read("once.bin");
  ASSERT_EQ(all.size(), 400 * part.size());
  for (size_t i = 0; i < 400; ++i)
    ASSERT_EQ(std::string_view(all).substr(i * part.size(), part.size()), part) << "block " << i;
  EXPECT_NE(encode_large(50'000'000).code, 0) << "the limit has no effect here";
}
#endif

TEST_F(Tokenize, CtrlCLeavesNothing) {
  train();
  // Many names of one file are minutes of work and little disk.
  std::string large;
  while (large.size() < 4'000'000) large += text_;
  write("large/0.txt", large);
  for (int link = 1; link < 1000; ++link)
    std::filesystem::create_hard_link(path("large/0.txt"), path("large/" + std::to_string(link) + ".txt"));
  RunningCommand running({program(), "tokenize", "encode", "--tokenizer", path("bpe"), "--input", path("large"),
                          "--threads", "1", "--output", path("out/tokens")});
  // Not by files(), which reads what it finds: that is what grows.
  const auto begun = [&] { return std::filesystem::exists(path("out")) && !std::filesystem::is_empty(path("out")); };
  ASSERT_TRUE(running.wait_until(begun));
  running.signal(SIGINT);
  const CommandResult result = running.wait();
  EXPECT_EQ(result.code, 128 + SIGINT) << result.all;
  EXPECT_TRUE(std::filesystem::is_empty(path("out")));
}

}  // namespace
}  // namespace interlock
