// Files beside a vocabulary: the ids are those of transformers (golden/side_files.json, by make_side_files.py), and
// what is not supported is named, never passed over.
#include <gmock/gmock.h>

#include "runtime/data/tokenizer/read_content.h"
#include "tests/tokenizer/support.h"

namespace interlock {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::HasSubstr;

constexpr int32_t behind = 640;  // the first id behind the vocabulary

class SideFiles : public WithFolder {
 protected:
  // A folder of the golden vocabulary with these files; of null, the golden one of that name.
  std::shared_ptr<const Tokenizer> open(const json& files) const {
    std::filesystem::remove_all(path("folder"));
    for (const char* name : {"vocab.json", "merges.txt"})
      if (!files.contains("tokenizer.json")) write(std::string("folder/") + name, content_of(golden(name)));
    for (const auto& [name, content] : files.items())
      write("folder/" + name, content.is_null() ? content_of(golden(name)) : content.dump());
    return Tokenizer::open(path("folder"));
  }
  std::string refusal(const json& files) const {
    return reason([&] { open(files); });
  }
  std::string refusal_of_config(const json& config) const { return refusal({{"tokenizer_config.json", config}}); }
};

TEST_F(SideFiles, IdsAreThoseOfTransformers) {
  const json known = json::parse(content_of(golden("side_files.json")));
  const auto text = known["text"].get<std::string>();
  ASSERT_GE(known["cases"].size(), 14u);
  for (const json& one : known["cases"]) {
    const auto tokenizer = open(one["files"]);
    EXPECT_EQ(ids_of(*tokenizer, text), one["ids"].get<std::vector<int32_t>>()) << one["name"];
    EXPECT_EQ(tokenizer->vocabulary(), one["vocabulary"].get<int64_t>()) << one["name"];
    // What is kept beside a run's weights has all of it in one file.
    tokenizer->save(path("saved"));
    EXPECT_EQ(Tokenizer::open(path("saved"))->fingerprint(), tokenizer->fingerprint()) << one["name"];
  }
}

// A file that says nothing about tokens changes nothing, and one that does is part of what the tokenizer is.
TEST_F(SideFiles, CountForTheFingerprintAsFarAsTheySaySomething) {
  const std::string plain = open(json::object())->fingerprint();
  EXPECT_EQ(open({{"tokenizer_config.json", {{"model_max_length", 512}}}})->fingerprint(), plain);
  EXPECT_NE(open({{"tokenizer_config.json", {{"add_prefix_space", true}}}})->fingerprint(), plain);
  EXPECT_NE(open({{"added_tokens.json", {{"<new>", behind}}}})->fingerprint(), plain);
  EXPECT_EQ(
      open({{"tokenizer.json", nullptr}, {"tokenizer_config.json", {{"add_prefix_space", false}}}})->fingerprint(),
      Tokenizer::open(golden("tokenizer.json"))->fingerprint());
}

// What transformers 5.24 make of "Hello world" with each: RoBERTa's class and its like set the space before a text,
// another class leaves it to tokenizer.json.
TEST_F(SideFiles, TheClassSaysWhoseWordOnTheFirstSpaceCounts) {
  const auto fingerprint = [&](const json& config) {
    return open({{"tokenizer.json", nullptr}, {"tokenizer_config.json", config}})->fingerprint();
  };
  const std::string plain = Tokenizer::open(golden("tokenizer.json"))->fingerprint();
  EXPECT_EQ(fingerprint({{"tokenizer_class", "PreTrainedTokenizerFast"}, {"add_prefix_space", true}}), plain);
  EXPECT_NE(fingerprint({{"tokenizer_class", "RobertaTokenizerFast"}, {"add_prefix_space", true}}),
            fingerprint({{"tokenizer_class", "RobertaTokenizerFast"}}));
  EXPECT_EQ(fingerprint({{"tokenizer_class", "RobertaTokenizerFast"}, {"add_prefix_space", false}}),
            fingerprint({{"tokenizer_class", "RobertaTokenizerFast"}}));
}

TEST_F(SideFiles, AFileThatIsNamedItselfStandsAlone) {
  open({{"tokenizer.json", nullptr}, {"tokenizer_config.json", {{"add_prefix_space", true}}}});
  EXPECT_EQ(Tokenizer::open(path("folder/tokenizer.json"))->fingerprint(),
            Tokenizer::open(golden("tokenizer.json"))->fingerprint());
}

// Transformers give such a token another id than its file says, and say nothing.
TEST_F(SideFiles, AnIdThatATokenDoesNotGetIsRefused) {
  EXPECT_THAT(
      refusal({{"added_tokens.json", {{"<new>", behind + 1}}}}),
      AllOf(HasSubstr("folder/added_tokens.json: "), HasSubstr("\"<new>\" has the id 641"), HasSubstr("gets 640")));
  EXPECT_THAT(refusal({{"added_tokens.json", {{"<s>", 7}}}}),
              AllOf(HasSubstr("\"<s>\" has the id 7"), HasSubstr("gets 0")));
  EXPECT_THAT(refusal_of_config({{"added_tokens_decoder", {{"650", {{"content", "<new>"}}}}}}),
              AllOf(HasSubstr("folder/tokenizer_config.json: "), HasSubstr("has the id 650")));
}

// Passed over, another tokenizer would encode, and nobody would be told.
TEST_F(SideFiles, LinksThatLeadNowhereAreToldOf) {
  open(json::object());
  for (const char* target : {"nowhere", "special_tokens_map.json"}) {
    std::filesystem::create_symlink(target, path("folder/special_tokens_map.json"));
    EXPECT_THAT(reason([&] { Tokenizer::open(path("folder")); }), HasSubstr("special_tokens_map.json")) << target;
    std::filesystem::remove(path("folder/special_tokens_map.json"));
  }
}

TEST_F(SideFiles, WhatIsNotSupportedIsNamed) {
  EXPECT_THAT(
      refusal_of_config({{"tokenizer_class", "CLIPTokenizer"}}),
      AllOf(HasSubstr("tokenizer_config.json: tokenizer_class \"CLIPTokenizer\" is not supported with vocab.json"),
            HasSubstr("RobertaTokenizer")));
  EXPECT_THAT(refusal_of_config({{"split_special_tokens", true}}),
              HasSubstr("split_special_tokens true is not supported"));
  EXPECT_THAT(refusal_of_config({{"auto_map", {{"AutoTokenizer", {"code.Tokenizer", nullptr}}}}}),
              HasSubstr("auto_map"));
  EXPECT_THAT(refusal({{"special_tokens_map.json", {{"mask_tokn", "<mask>"}}}}),
              AllOf(HasSubstr("unknown key \"mask_tokn\""), HasSubstr("\"mask_token\"?")));
  EXPECT_THAT(refusal_of_config({{"mask_token", {{"content", "<mask>"}, {"left", true}}}}),
              HasSubstr("unknown key \"mask_token.left\""));
}

TEST_F(SideFiles, WhatIsNotWhatItShouldBeIsNamed) {
  EXPECT_THAT(refusal({{"added_tokens.json", json::array()}}),
              HasSubstr("added_tokens.json: a JSON object is expected"));
  EXPECT_THAT(refusal({{"added_tokens.json", {{"<new>", "640"}}}}), HasSubstr("token \"<new>\" has the id \"640\""));
  EXPECT_THAT(refusal({{"added_tokens.json", {{"", behind}}}}), HasSubstr("has no text"));
  EXPECT_THAT(refusal_of_config({{"add_prefix_space", "yes"}}),
              HasSubstr("add_prefix_space is \"yes\", not true or false"));
  EXPECT_THAT(refusal_of_config({{"tokenizer_class", 3}}), HasSubstr("tokenizer_class is no text"));
  EXPECT_THAT(refusal_of_config({{"mask_token", 4}}), HasSubstr("mask_token is 4, neither a text nor an object"));
  EXPECT_THAT(refusal_of_config({{"additional_special_tokens", "<new>"}}),
              HasSubstr("additional_special_tokens is neither"));
  EXPECT_THAT(refusal_of_config({{"added_tokens_decoder", {{"x", json::object()}}}}), HasSubstr("\"x\" is no id"));
  EXPECT_THAT(refusal_of_config({{"added_tokens_decoder", {{"640", "<new>"}}}}),
              HasSubstr("added_tokens_decoder.640 is no object"));
  EXPECT_THAT(refusal_of_config({{"added_tokens_decoder", {{"640", {{"content", "<new>"}, {"lstrip", 1}}}}}}),
              HasSubstr("added_tokens_decoder.640.lstrip is 1, not true or false"));
}

}  // namespace
}  // namespace interlock
