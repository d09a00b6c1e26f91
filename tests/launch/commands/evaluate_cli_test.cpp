// `evaluate`: the same numbers from texts and token files, from one process and several; and what it refuses.
#include <gmock/gmock.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "tests/launch/commands/token_project.h"

namespace interlock {
namespace {

using nlohmann::json;
using testing::ContainsRegex;

class Evaluate : public TokenProject {
 protected:
  CommandResult evaluate(const Words& more, const std::string& model = "run") const {
    Words words{"evaluate", model, "--json"};
    words.insert(words.end(), more.begin(), more.end());
    return interlock(words);
  }
  CommandResult under_mpirun(const std::string& ranks, const Words& arguments) const {
    CommandOptions options;
    options.folder = path().string();
    Words words{INTERLOCK_MPIRUN, ranks, program()};
    words.insert(words.end(), arguments.begin(), arguments.end());
    return run_command(words, options);
  }
  json result(const Words& more, const std::string& model = "run") const {
    const CommandResult done = evaluate(more, model);
    expect_done(done);
    json object = last_object(done);
    EXPECT_GT(object["tokens_per_second"], 0);
    object.erase("tokens_per_second");
    return object;
  }
};

TEST_F(Evaluate, NumbersFitTogether) {
  train_once();
  const json one = result({"--data", "corpus/1.txt"});
  EXPECT_GT(one["loss"], 0);
  EXPECT_DOUBLE_EQ(one["perplexity"], std::exp(one["loss"].get<double>()));
  EXPECT_GE(one["accuracy"], 0);
  EXPECT_LE(one["accuracy"], 1);
  EXPECT_GT(one["tokens"], one["targets"]);
  const double share = one["targets"].get<double>() / one["tokens"].get<double>();
  // 15 % of what is not <s>, </s>: 30 of 32 tokens in whole samples, each rounded to a whole number of targets.
  EXPECT_NEAR(share, 0.15 * 30 / 32, 0.02);
  const CommandResult shown = interlock({"evaluate", "run", "--data", "corpus/1.txt"});
  expect_done(shown);
  EXPECT_THAT(shown.output, ContainsRegex("^Masked loss [0-9.]+ nats per target, perplexity [0-9.]+, accuracy"));
}

TEST_F(Evaluate, TextsAndTheirTokenFileAreTheSame) {
  train_once();
  EXPECT_EQ(result({"--data", "corpus"}), result({"--data", "all"}));
  expect_done(
      interlock({"tokenize", "encode", "--tokenizer", "tokenizer", "--input", "corpus/2.txt", "--output", "two"}));
  EXPECT_EQ(result({"--data", "corpus/2.txt"}), result({"--data", "two"}));
  EXPECT_EQ(result({"--data", "two"}), result({"--data", "two"}, "run/checkpoints/step-00000002"));
}

TEST_F(Evaluate, ATokenFileIsNamedByItsPrefixOrOneOfItsFiles) {
  train_once();
  const json named = result({"--data", "all"});
  for (const Words& words : {Words{"--data", "all.idx"}, Words{"--data", "all.bin"},
                             Words{"--data", "all.bin", "all.idx"}, Words{"--data", "./all.idx"}})
    EXPECT_EQ(result(words), named) << words.back();
  expect_failure(evaluate({"--data", "all.bin", "corpus"}), 2, {"--data", "all is a token file", "corpus is none"});
  write("notes.bin", "alpha beta gamma");  // a text all the same
  EXPECT_EQ(result({"--data", "notes.bin"})["sequences"], 1);
}

TEST_F(Evaluate, AnyNumberOfRanksSaysTheSame) {
  train_once();
  const json one = result({"--data", "all"});
  for (const char* ranks : {"2", "3"}) {
    const CommandResult many = under_mpirun(ranks, {"evaluate", "run", "--json", "--data", "all"});
    expect_done(many);
    json object = last_object(many);
    object.erase("tokens_per_second");
    EXPECT_EQ(object, one) << ranks;
  }
  const CommandResult wrong = under_mpirun("2", {"evaluate", "run", "--data", "nothing"});
  EXPECT_EQ(wrong.code, 65) << wrong.all;
}

TEST_F(Evaluate, TheSeedDecidesTheMasksAndSequencesLimitThem) {
  train_once();
  const json one = result({"--data", "all"}), other = result({"--data", "all", "--seed", "2"});
  EXPECT_EQ(one["tokens"], other["tokens"]);
  EXPECT_NE(one["loss"], other["loss"]);
  const json few = result({"--data", "all", "--sequences", "3"});
  EXPECT_EQ(few["sequences"], 3);
  EXPECT_LE(few["tokens"], 3 * 32);
}

TEST_F(Evaluate, Bf16ModelsComputeAsTheyTrained) {
  train_once();
  expect_done(train({"run.precision=bf16", "run.folder=half", "run.weights=run", "run.steps=0"}));
  const double whole = result({"--data", "all"})["loss"], half = result({"--data", "all"}, "half")["loss"];
  EXPECT_NE(half, whole);
  EXPECT_NEAR(half, whole, 0.05);  // logits near 0 with 8 bits each: far below what a wrong layer would do
}

TEST_F(Evaluate, ATextShorterThanASequenceIsEnough) {
  train_once();
  write("short.txt", "alpha beta");
  const json one = result({"--data", "short.txt"});
  EXPECT_EQ(one["sequences"], 1);
  EXPECT_EQ(one["targets"], 1);
}

TEST_F(Evaluate, ModelsOfBytesTakeTexts) {
  write("bytes.toml",
        "[model]\nlayers = 2\nwidth = 16\nheads = 2\nmax_length = 32\n[data]\npaths = [\"corpus\"]\nsequence_length = "
        "32\n[parallel]\nstages = 2\ntransport = \"loopback\"\n[run]\nsteps = 2\nfolder = \"bytes\"\n");
  expect_done(interlock({"train", "bytes.toml"}));
  const json one = result({"--data", "corpus/1.txt", "corpus/2.txt"}, "bytes");
  size_t bytes = read("corpus/1.txt").size() + read("corpus/2.txt").size();
  EXPECT_EQ(one["tokens"].get<size_t>(), bytes + 2 * one["sequences"].get<size_t>());
  expect_failure(evaluate({"--data", "all"}, "bytes"), 65, {"all", "token file", "reads bytes"});

  // Hugging Face's folder of it says that its tokens are bytes: no command asks for a tokenizer.
  expect_done(interlock({"export", "bytes", "--to", "hf"}));
  expect_done(interlock({"import", "hf", "--to", "in"}));
  expect_done(interlock({"export", "in", "--to", "again"}));
  EXPECT_EQ(read("again/config.json"), read("hf/config.json"));
  expect_failure(evaluate({}, "in"), 64, {"in/weights.safetensors", "data.paths", "--data"});
  for (const std::string model : {"hf", "in"}) {
    EXPECT_EQ(result({"--data", "corpus/1.txt", "corpus/2.txt"}, model)["loss"], one["loss"]) << model;
    const Words text{"fill", model, "al<mask>ha", "--json"};
    EXPECT_EQ(last_object(interlock(text)), last_object(interlock({"fill", "bytes", text[2], text[3]})));
  }
  expect_done(interlock({"train", "in/config.toml", "--set", "data.paths=['corpus']", "--set", "run.steps=1"}));
}

TEST_F(Evaluate, WhatCannotBeReadIsNamed) {
  train_once();
  expect_failure(evaluate({"--data", "nothing.txt"}), 65, {"nothing.txt"});
  expect_failure(evaluate({"--data", "corpus"}, "nowhere"), 65, {"nowhere"});
  expect_failure(evaluate({"--data", "corpus"}, "run/config.toml"), 65, {"run/config.toml", "named by its folder"});
  write("broken.txt", std::string("fine \xff"));
  expect_failure(evaluate({"--data", "broken.txt"}), 65, {"broken.txt", "5"});
  write("all.idx", "MMIDIDX");
  expect_failure(evaluate({"--data", "all"}), 65, {"all.idx"});
}

TEST_F(Evaluate, TokensOfABiggerVocabularyAreRefused) {
  train_once();
  expect_done(interlock({"tokenize", "train", "--input", "corpus", "--vocabulary", "290", "--output", "big"}));
  expect_done(interlock({"tokenize", "encode", "--tokenizer", "big", "--input", "corpus", "--output", "bigger"}));
  expect_failure(evaluate({"--data", "bigger"}), 65, {"bigger", "279"});
}

}  // namespace
}  // namespace interlock
