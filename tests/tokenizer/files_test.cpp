// Files of a tokenizer: all kinds read to the same, what is written reads back, and what is wrong with a file is said.
#include <gmock/gmock.h>

#include "runtime/data/tokenizer/byte_alphabet.h"
#include "runtime/data/tokenizer/read_content.h"
#include "tests/tokenizer/support.h"

namespace interlock {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

class Files : public WithFolder {
 protected:
  static json whole() { return json::parse(content_of(golden("tokenizer.json"))); }
  std::string refusal(const json& file) const { return refusal_of_text(file.dump()); }
  std::string refusal_of_text(const std::string& text) const {
    const std::string file = write("tokenizer.json", text);
    const std::string words = reason([&] { Tokenizer::open(file); });
    EXPECT_THAT(words, StartsWith(file));
    return words;
  }
  // With one change, by JSON pointer.
  std::string refusal_with(const std::string& pointer, const json& value) const {
    json file = whole();
    file[json::json_pointer(pointer)] = value;
    return refusal(file);
  }
  std::string refusal_of_pair(const std::string& vocabulary, const std::string& merges) const {
    write("pair/vocab.json", vocabulary);
    write("pair/merges.txt", merges);
    return reason([&] { Tokenizer::open(path("pair")); });
  }
};

TEST_F(Files, AllKindsMeanTheSame) {
  const auto from_json = Tokenizer::open(golden("tokenizer.json"));
  EXPECT_EQ(from_json->vocabulary(), 640);
  EXPECT_EQ(Tokenizer::open(golden(""))->fingerprint(), from_json->fingerprint());
  write("pair/vocab.json", content_of(golden("vocab.json")));
  write("pair/merges.txt", content_of(golden("merges.txt")));
  EXPECT_EQ(Tokenizer::open(path("pair"))->fingerprint(), from_json->fingerprint());
  std::string windows;
  for (const char byte : content_of(golden("merges.txt")))
    windows += byte == '\n' ? std::string("\r\n") : std::string(1, byte);
  write("first_names/encoder.json", content_of(golden("vocab.json")));
  write("first_names/vocab.bpe", windows);
  EXPECT_EQ(Tokenizer::open(path("first_names"))->fingerprint(), from_json->fingerprint());
  json strings = whole();
  for (json& merge : strings["model"]["merges"])
    merge = merge[0].get<std::string>() + " " + merge[1].get<std::string>();
  EXPECT_EQ(Tokenizer::open(write("strings.json", strings.dump()))->fingerprint(), from_json->fingerprint());
}

TEST_F(Files, WhatIsWrittenReadsBack) {
  const auto tokenizer = Tokenizer::open(golden(""));
  tokenizer->save(path("saved/here"));
  EXPECT_EQ(Tokenizer::open(path("saved/here"))->fingerprint(), tokenizer->fingerprint());
  EXPECT_EQ(content_of(path("saved/here/merges.txt")), content_of(golden("merges.txt")));
  EXPECT_EQ(json::parse(content_of(path("saved/here/vocab.json"))), json::parse(content_of(golden("vocab.json"))));
  json written = json::parse(content_of(path("saved/here/tokenizer.json"))), expected = whole();
  EXPECT_EQ(written["post_processor"], expected["post_processor"]);
  EXPECT_EQ(written["pre_tokenizer"], expected["pre_tokenizer"]);
  EXPECT_EQ(written["added_tokens"], expected["added_tokens"]);
  std::filesystem::remove(path("saved/here/tokenizer.json"));
  EXPECT_EQ(Tokenizer::open(path("saved/here"))->fingerprint(), tokenizer->fingerprint());
}

TEST_F(Files, FlagsOfAddedTokensAreWrittenAndCount) {
  json file = whole();
  file["added_tokens"].push_back({{"id", 640},
                                  {"content", "new"},
                                  {"single_word", true},
                                  {"lstrip", false},
                                  {"rstrip", true},
                                  {"normalized", true},
                                  {"special", false}});
  const auto tokenizer = Tokenizer::open(write("tokenizer.json", file.dump()));
  EXPECT_EQ(tokenizer->vocabulary(), 641);
  tokenizer->save(path("saved"));
  EXPECT_EQ(Tokenizer::open(path("saved"))->fingerprint(), tokenizer->fingerprint());
  EXPECT_EQ(json::parse(content_of(path("saved/tokenizer.json")))["added_tokens"].back(), file["added_tokens"].back());
  for (const char* flag : {"single_word", "lstrip", "rstrip", "special"}) {
    json other = file;
    other["added_tokens"].back()[flag] = !other["added_tokens"].back()[flag].get<bool>();
    EXPECT_NE(Tokenizer::open(write("tokenizer.json", other.dump()))->fingerprint(), tokenizer->fingerprint()) << flag;
  }
}

TEST_F(Files, APlaceWithoutATokenizerIsRefused) {
  EXPECT_THAT(reason([&] { Tokenizer::open(path("nowhere")); }),
              AllOf(HasSubstr("nowhere"), HasSubstr("does not exist")));
  std::filesystem::create_directories(path("empty"));
  EXPECT_THAT(reason([&] { Tokenizer::open(path("empty")); }), HasSubstr("holds no tokenizer"));
  write("half/vocab.json", content_of(golden("vocab.json")));
  EXPECT_THAT(reason([&] { Tokenizer::open(path("half")); }), HasSubstr("holds no tokenizer"));
}

// What leads nowhere is not what is not there: the pair beside it may be another tokenizer.
TEST_F(Files, ALinkThatLeadsNowhereIsNamed) {
  write("linked/vocab.json", content_of(golden("vocab.json")));
  write("linked/merges.txt", content_of(golden("merges.txt")));
  for (const char* target : {"tokenizer.json", "nowhere.json"}) {
    std::filesystem::remove(path("linked/tokenizer.json"));
    std::filesystem::create_symlink(target, path("linked/tokenizer.json"));
    EXPECT_THAT(reason([&] { Tokenizer::open(path("linked")); }), HasSubstr("linked/tokenizer.json")) << target;
  }
}

TEST_F(Files, WhatIsNotJsonIsRefused) {
  EXPECT_THAT(refusal_of_text(""), HasSubstr("not JSON"));
  EXPECT_THAT(refusal_of_text("{\"model\": "), AllOf(HasSubstr("not JSON"), HasSubstr("line 1")));
  EXPECT_THAT(refusal_of_text("[]"), HasSubstr("a JSON object is expected"));
  EXPECT_THAT(refusal_of_text("{\"version\": \"\xFF\"}"), HasSubstr("not JSON"));
  EXPECT_THAT(refusal_of_text(R"({"version": "1.0", "version": "1.0"})"), HasSubstr("\"version\" is there twice"));
  EXPECT_THAT(refusal_of_text(std::string(33, '[')), HasSubstr("nested deeper than 32 levels"));
  const std::string twice = content_of(golden("vocab.json"));
  EXPECT_THAT(refusal_of_pair("{\"!\": 4, " + twice.substr(1), content_of(golden("merges.txt"))),
              HasSubstr("\"!\" is there twice"));
}

TEST_F(Files, AHugeFileIsRefusedUnread) {
  const std::string file = write("tokenizer.json", "{}");
  std::filesystem::resize_file(file, (size_t{256} << 20) + 1);  // sparse
  EXPECT_THAT(reason([&] { Tokenizer::open(file); }), HasSubstr("256 MiB; no file of a tokenizer has more than 256"));
}

TEST_F(Files, OtherKindsOfTokenizerAreNamed) {
  EXPECT_THAT(refusal_with("/model/type", "Unigram"), HasSubstr("model Unigram is not supported, only BPE"));
  EXPECT_THAT(refusal_with("/normalizer", {{"type", "NFC"}}), HasSubstr("normalizer NFC is not supported"));
  EXPECT_THAT(refusal_with("/decoder", {{"type", "WordPiece"}}), HasSubstr("decoder WordPiece is not supported"));
  EXPECT_THAT(refusal_with("/pre_tokenizer", {{"type", "Whitespace"}}),
              HasSubstr("pre_tokenizer Whitespace is not supported"));
  EXPECT_THAT(refusal_with("/pre_tokenizer", nullptr), HasSubstr("no pre_tokenizer"));
  EXPECT_THAT(refusal_with("/pre_tokenizer/use_regex", false), HasSubstr("use_regex false"));
  EXPECT_THAT(refusal_with("/model/dropout", 0.1), HasSubstr("model.dropout is not supported"));
  EXPECT_THAT(refusal_with("/model/continuing_subword_prefix", "##"), HasSubstr("model.continuing_subword_prefix"));
  EXPECT_THAT(refusal_with("/model/end_of_word_suffix", "</w>"), HasSubstr("model.end_of_word_suffix"));
  EXPECT_THAT(refusal_with("/model/byte_fallback", true), HasSubstr("model.byte_fallback"));
  EXPECT_THAT(refusal_with("/model/ignore_merges", true), HasSubstr("model.ignore_merges"));
  EXPECT_THAT(refusal_with("/model/ignore_merges", 1), HasSubstr("model.ignore_merges is 1, not true or false"));
  EXPECT_THAT(refusal_with("/normaliser", nullptr),
              AllOf(HasSubstr("unknown key \"normaliser\""), HasSubstr("\"normalizer\"?")));
  EXPECT_THAT(refusal_with("/model/mergez", 1), HasSubstr("unknown key \"model.mergez\""));
  EXPECT_THAT(refusal_with("/model", 7), HasSubstr("it has no model"));
}

TEST_F(Files, APatternFromAFileIsNotCompiled) {
  const json split = {
      {"type", "Split"}, {"pattern", {{"Regex", "(a+)+$"}}}, {"behavior", "Isolated"}, {"invert", false}};
  const json bytes = {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}};
  const auto sequence = [](const json& steps) { return json{{"type", "Sequence"}, {"pretokenizers", steps}}; };
  EXPECT_THAT(refusal_with("/pre_tokenizer", sequence({split, bytes})),
              HasSubstr("another pattern than that of GPT-2"));
  EXPECT_THAT(refusal_with("/pre_tokenizer", sequence({bytes})), HasSubstr("only as Split by the pattern of GPT-2"));
  json known = split;
  known["pattern"]["Regex"] = R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
  known["invert"] = true;
  EXPECT_THAT(refusal_with("/pre_tokenizer", sequence({known, bytes})), HasSubstr("invert false"));
}

TEST_F(Files, IdsMustBeDenseAndUnique) {
  EXPECT_THAT(refusal_with("/model/vocab/!", 7000),
              HasSubstr("token \"!\" has the id 7000, but there are only 640 tokens"));
  EXPECT_THAT(refusal_with("/model/vocab/!", 5),
              AllOf(HasSubstr("\"!\""), HasSubstr("\"\\\"\""), HasSubstr("share the id 5")));
  for (const json& bad : {json(-1), json("4"), json(4.5), json(nullptr), json(uint64_t{1} << 40)})
    EXPECT_THAT(refusal_with("/model/vocab/!", bad), HasSubstr("token \"!\" has the id " + bad.dump()));
  EXPECT_THAT(refusal_with("/model/vocab", json::array()), HasSubstr("no vocabulary"));
  json file = whole();
  file["model"]["vocab"].erase("!");
  file["model"]["vocab"]["new"] = 4;
  file["model"]["merges"] = json::array();
  EXPECT_THAT(refusal(file), HasSubstr("no token \"!\" for byte 33"));
}

TEST_F(Files, MergesMustBeOfTheVocabulary) {
  EXPECT_THAT(refusal_with("/model/merges/0", {"e", "zz"}),
              AllOf(HasSubstr("model.merges[0]"), HasSubstr("needs \"zz\"")));
  EXPECT_THAT(refusal_with("/model/merges/0", {"q", "!"}),
              AllOf(HasSubstr("\"q\" and \"!\" needs \"q!\", which is not in the vocabulary")));
  EXPECT_THAT(refusal_with("/model/merges/3", "abc"), HasSubstr("model.merges[3]: \"abc\" is no merge"));
  EXPECT_THAT(refusal_with("/model/merges/3", {"a"}), HasSubstr("model.merges[3] is neither"));
  EXPECT_THAT(refusal_with("/model/merges", "a b"), HasSubstr("model.merges is not a list"));
  const json first = whole()["model"]["merges"][0];
  EXPECT_THAT(refusal_with("/model/merges/1", first), AllOf(HasSubstr("merge 2, "), HasSubstr("is there twice")));
}

TEST_F(Files, LinesOfMergesAreNamed) {
  const std::string vocabulary = content_of(golden("vocab.json"));
  for (const char* line : {"ab", "a b c", " b", "a ", "a  b"})
    EXPECT_THAT(refusal_of_pair(vocabulary, message("#version: 0.2\n", line, "\n")),
                HasSubstr(message("merges.txt:2: \"", line, "\" is no merge")))
        << line;
  EXPECT_THAT(refusal_of_pair(vocabulary, "#version: 0.2\n\ni n\n"), HasSubstr("merges.txt:2: \"\" is no merge"));
  EXPECT_THAT(refusal_of_pair("[1]", ""), HasSubstr("vocab.json: no vocabulary"));
}

TEST_F(Files, AddedTokensMustFit) {
  EXPECT_THAT(refusal_with("/added_tokens/0/id", 9),
              AllOf(HasSubstr("\"<s>\""), HasSubstr("its id is 9, but in model.vocab it is 0")));
  EXPECT_THAT(refusal_with("/added_tokens/0/id", "0"), HasSubstr("its id is \"0\""));
  EXPECT_THAT(refusal_with("/added_tokens/0/lstrip", "yes"), HasSubstr("lstrip is \"yes\", not true or false"));
  EXPECT_THAT(refusal_with("/added_tokens/0", {{"id", 0}}), HasSubstr("has no content"));
  EXPECT_THAT(refusal_with("/added_tokens/0", {{"id", 640}, {"content", ""}}), HasSubstr("has no text"));
  EXPECT_THAT(refusal_with("/added_tokens/5", {{"id", 700}, {"content", "new"}}),
              HasSubstr("token \"new\" has the id 700"));
  EXPECT_THAT(refusal_with("/added_tokens/5", {{"id", 0}, {"content", "<s>"}}),
              HasSubstr("added token \"<s>\" is there twice"));
  EXPECT_THAT(refusal_with("/added_tokens", 3), HasSubstr("added_tokens is not a list"));
}

TEST(ByteAlphabet, IsTheOneOfGpt2) {
  EXPECT_EQ(to_alphabet(" a\n\xFF\xAD"), "ĠaĊÿŃ");
  std::string all;
  for (int byte = 0; byte < 256; ++byte) all += static_cast<char>(byte);
  EXPECT_EQ(from_alphabet(to_alphabet(all)), all);
  EXPECT_EQ(from_alphabet("a b"), std::nullopt);  // a space is spelled Ġ
  EXPECT_EQ(alphabet_order().front(), '!');
  EXPECT_EQ(alphabet_order().back(), 0xAD);
}

}  // namespace
}  // namespace interlock
