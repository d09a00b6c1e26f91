// The command line itself, and `fill` and `data` at the edges of what they take.
#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "tests/support/small_project.h"

namespace interlock {
namespace {

using nlohmann::json;
using testing::ContainsRegex;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

class Commands : public SmallProject {};

TEST_F(Commands, HelpNamesThemAll) {
  const CommandResult result = interlock({"--help"});
  expect_done(result);
  for (const char* name : {"train", "plan", "fill", "inspect", "data", "doctor"})
    EXPECT_THAT(result.output, ContainsRegex(std::string("\n *") + name + " "));
  EXPECT_THAT(result.errors, IsEmpty());
}

// The number stays the first word of its one line; a report of a fault needs the others too.
TEST_F(Commands, VersionNamesWhatItWasMadeOf) {
  const CommandResult result = interlock({"--version"});
  expect_done(result);
  EXPECT_THAT(result.output, ContainsRegex("^[0-9]+\\.[0-9]+\\.[0-9]+ \\(commit ([0-9a-f]{12}(-modified)?|unknown), "
                                           "LibTorch [0-9.]+[^,]*, Open MPI v[0-9.]+[^,]*\\)\n$"));
}

TEST_F(Commands, TheManifestNamesWhatItWasMadeOf) {
  expect_done(train_threads({"run.steps=1"}));
  const json manifest = json::parse(read("run/manifest.json"));
  const std::string line = interlock({"--version"}).output;
  for (const char* part : {"interlock", "commit", "libtorch", "mpi"})
    EXPECT_THAT(line, HasSubstr(manifest.at(part).get<std::string>()));
}

// Alone it is a mistake in a script and a question of a person: the list, and the exit code of a wrong command line.
TEST_F(Commands, AloneAndHelpListThem) {
  const std::string whole = interlock({"--help"}).output;
  const CommandResult alone = interlock({});
  EXPECT_EQ(alone.code, 2);
  EXPECT_EQ(alone.output, whole);
  const CommandResult help = interlock({"help"});
  expect_done(help);
  EXPECT_EQ(help.output, whole);
  EXPECT_EQ(interlock({"help", "train"}).output, interlock({"train", "--help"}).output);
  EXPECT_EQ(interlock({"help", "tokenize", "encode"}).output, interlock({"tokenize", "encode", "--help"}).output);
  expect_failure(interlock({"help", "trian"}), 2, {"\"trian\"", "did you mean \"train\"?"});
}

// What the parser of the command line has to say comes as an error of the command.
TEST_F(Commands, WhatIsWrongWithTheWordsNamesTheCommand) {
  expect_failure(interlock({"train"}), 2, {"train: config is required", "`interlock help train` says more"});
  expect_failure(interlock({"-V"}), 2, {"no such option of interlock: -V", "`interlock --help` says more"});
  expect_failure(interlock({"tokenize", "decode", "x", "--tokenizer", "t", "--foo"}), 2,
                 {"no such option of tokenize decode: --foo", "`interlock help tokenize decode` says more"});
  expect_failure(interlock({"plan", "config.toml", "run.steps=4"}), 2,
                 {"run.steps=4 stands alone; write --set run.steps=4"});
  for (const char* number : {"0", "1e-3", "1.5", "1e400", "1e-400", "-1", "nan"})
    expect_failure(interlock({"train", "config.toml", std::string("--until=") + number}), 2,
                   {"train: --until: \"" + std::string(number) + "\" is not a whole number from 1"});
}

TEST_F(Commands, WholeNumbersAreWrittenAsInAConfig) {
  expect_done(train_threads({"run.steps=100"}, {"--until", "0.2e1"}));
  EXPECT_EQ(json::parse(read("run/result.json"))["steps"], 2);
}

// A person who writes an option for a key of the config is told what to write instead.
TEST_F(Commands, AnOptionThatIsAKeyOfTheConfigIsTold) {
  const auto told = [&](const std::vector<std::string>& words, const std::string& what) {
    std::vector<std::string> line{"train", "config.toml"};
    line.insert(line.end(), words.begin(), words.end());
    expect_failure(interlock(line), 2,
                   {"no such option of train: " + words.front().substr(0, words.front().find('=')), what});
  };
  told({"--steps", "10"}, "write --set run.steps=10");
  told({"--lr=1e-3"}, "write --set optimizer.learning_rate=1e-3");
  told({"--batch-size"}, "write --set parallel.microbatch_size=VALUE (");
  told({"--resum"}, "did you mean --resume?");
}

TEST_F(Commands, UnknownOnesAreUsage) {
  expect_failure(interlock({"trian", "config.toml"}), 2, {"\"trian\"", "did you mean \"train\"?"});
  expect_failure(interlock({"xyzzy"}), 2, {"\"xyzzy\"", "train", "plan", "fill", "inspect", "data", "doctor"});
  expect_failure(interlock({"tokenize", "trian"}), 2, {"command of tokenize \"trian\"", "did you mean \"train\"?"});
}

void expect_usage(const CommandResult& result, const std::string& word) {
  EXPECT_EQ(result.code, 2) << result.all;
  EXPECT_THAT(result.tail(), HasSubstr(word));
}

TEST_F(Commands, WhatIsMissingOrUnknownIsUsage) {
  expect_usage(interlock({"train"}), "config");
  expect_usage(interlock({"train", "config.toml", "--nonsense"}), "--nonsense");
  expect_usage(interlock({"train", "config.toml", "another.toml"}), "another.toml");
  expect_usage(interlock({"plan"}), "config");
  expect_usage(interlock({"fill", "run"}), "text");
}

TEST_F(Commands, AnOverrideThatIsNoneIsRefused) {
  expect_failure(train({"learning.horizon"}), 64, {"--set learning.horizon", "section.key=VALUE"});
  expect_failure(train({"data.paths=[corpus"}), 64, {"--set data.paths", "[corpus"});
}

TEST_F(Commands, AFolderThatWasDeletedIsASentence) {
  std::filesystem::create_directory(path("gone"));
  CommandOptions here;
  here.folder = path().string();
  const CommandResult result =
      run_command({"/bin/sh", "-c", "cd gone && rmdir ../gone && exec \"$0\" --version", program()}, here);
  EXPECT_EQ(result.code, 65) << result.all;
  EXPECT_THAT(result.errors, HasSubstr("interlock: error: the working folder does not exist any more"));
  EXPECT_THAT(result.all, Not(HasSubstr("MKL")));
}

// Held-out data is named by the config; asked again, the run's own number comes out.
TEST_F(Commands, EvaluateWithoutDataTakesWhatTheRunHeldOut) {
  expect_done(train_threads({"run.steps=1", "run.evaluate_every=1"}, {"--json"}));
  const CommandResult result = interlock({"evaluate", "run", "--json"});
  expect_done(result);
  EXPECT_GT(last_object(result)["targets"], 0);
}

// ---- plan

// Within two seconds, in which a person still waits without a word.
TEST_F(Commands, APlanTooLargeForAMomentSaysWhatItDoesOrWhyNot) {
  CommandOptions two_seconds;
  two_seconds.folder = path().string();
  two_seconds.seconds = 2;
  const auto plan = [&](const Words& overrides) {
    Words words{program(), "plan", "config.toml"};
    for (const std::string& one : overrides) words.insert(words.end(), {"--set", one});
    return run_command(words, two_seconds);
  };
  const CommandResult stages = plan({"model.layers=4096", "parallel.stages=4096", "parallel.ranks=4096"});
  EXPECT_THAT(stages.errors, HasSubstr("4096 stages x 4 microbatches: cutting the model"));
  const CommandResult microbatches = plan({"parallel.microbatches=1000000"});
  EXPECT_FALSE(microbatches.timed_out);
  expect_failure(microbatches, 64, {"parallel.microbatches = 1000000", "ask with at most"});
}

TEST_F(Commands, PlanSaysWhenCostsAreOfAnotherModel) {
  expect_done(train_threads({"run.steps=1"}));
  const CommandResult same = interlock({"plan", "config.toml", "--costs", "run/costs.json"});
  expect_done(same);
  EXPECT_THAT(same.errors, Not(HasSubstr("was measured")));
  const CommandResult other =
      interlock({"plan", "config.toml", "--costs", "run/costs.json", "--set", "parallel.microbatch_size=7"});
  expect_done(other);
  EXPECT_THAT(other.errors, HasSubstr("run/costs.json: stage 0 was measured with messages of "));
}

// A costs file tells the sizes of its own rule: under sum stages hold heads that global does not have. Under those even
// 1F1B was refused within the memory that it needs itself.
TEST_F(Commands, CostsOfAnotherRuleGiveTimesAlone) {
  expect_done(train_threads({"run.steps=2"}));
  const auto plan = [&](const Words& more) {
    Words words{"plan", "config.toml", "--json", "--set", "learning.rule=global"};
    words.insert(words.end(), more.begin(), more.end());
    const CommandResult result = interlock(words);
    expect_done(result);
    return last_object(result);
  };
  const Words measured{"--costs", "run/costs.json"};
  const nlohmann::json estimated = plan({}), timed = plan(measured);
  const auto peaks = [](const nlohmann::json& told) {
    std::map<std::string, double> all;
    for (const auto& one : told["candidates"]) all[one["schedule"]] = one["peak_bytes"];
    return all;
  };
  EXPECT_EQ(peaks(timed), peaks(estimated));
  EXPECT_NE(timed["simulated"]["step"], estimated["simulated"]["step"]);
  // What is told of memory is that of the plan that is shown, whichever costs it was chosen by.
  const auto activations = [](const nlohmann::json& told) {
    std::vector<double> all;
    for (const auto& rank : told["memory"]["ranks"]) all.push_back(rank["activations"]);
    return all;
  };
  // Over slow links GPipe is ahead, which keeps more alive.
  std::string stages;
  for (int stage = 0; stage < 4; ++stage)
    stages += std::string(stage > 0 ? "," : "") + R"({"forward":1,"input_gradient":1,"weight_gradient":1})";
  write("slow.json", "{\"latency\":50,\"stages\":[" + stages + "]}");
  const nlohmann::json odd = plan({"--costs", "slow.json"});
  EXPECT_EQ(odd["schedule"], "gpipe");
  EXPECT_EQ(activations(odd), activations(plan({"--set", "parallel.schedule=" + odd["schedule"].get<std::string>()})));
}

// ---- data

// What a rank of a plan holds beside its tensors: LibTorch and Open MPI alone take more than 100 MiB.
TEST_F(Commands, AnEmptyRankOfEveryModelIsMeasured) {
  for (const char* model : {"gpt", "mlp", "resnet", "roberta"}) {
    const CommandResult result = interlock({"doctor", "--rank-memory", model, "float32", "small"});
    EXPECT_EQ(result.code, 0) << result.all;  // the daemon of a rank without a launcher ends a moment after it
    EXPECT_GT(std::atof(result.output.c_str()), 100e6) << model;
  }
}

TEST_F(Commands, DataShowsOnlyWhatTheConfigHas) {
  expect_failure(interlock({"data", "config.toml", "--step", "0"}), 2, {"--step 0", "1 to "});
  expect_failure(interlock({"data", "config.toml", "--step", "9223372036854775807"}), 2, {"--step"});
  expect_failure(interlock({"data", "config.toml", "--microbatch", "4"}), 2, {"--microbatch 4", "0 to 3"});
  expect_failure(interlock({"data", "config.toml", "--microbatch", "-1"}), 2, {"--microbatch -1", "0 to 3"});
  expect_failure(interlock({"data", "config.toml", "--replica", "1"}), 2, {"--replica 1", "0 to 0"});
}

TEST_F(Commands, DataIsWhatTheCorpusHolds) {
  const CommandResult result = interlock({"data", "config.toml", "--step", "2", "--microbatch", "3", "--json"});
  expect_done(result);
  const json shown = last_object(result);
  std::string corpus;
  for (const auto& [name, content] : files("corpus")) corpus += content + '\0';
  ASSERT_EQ(shown["tokens"].size(), 2U);
  ASSERT_EQ(shown["sample_ids"].size(), 2U);
  for (size_t row = 0; row < 2; ++row) {
    const json &tokens = shown["tokens"][row], &targets = shown["targets"][row];
    ASSERT_EQ(tokens.size(), 32U);
    ASSERT_EQ(targets.size(), 32U);
    std::string text;
    for (size_t place = 0; place < 32; ++place) {
      const int id = targets[place] == -100 ? tokens[place].get<int>() : targets[place].get<int>();
      if (id >= 5) text += static_cast<char>(id - 5);
    }
    EXPECT_THAT(corpus, HasSubstr(text)) << "the masked bytes put back, this is no piece of the corpus";
    EXPECT_GT(text.size(), 0U);
  }
}

// ---- fill

class Fill : public SmallProject {
 protected:
  void SetUp() override {
    once("run", [&] { expect_done(train_threads({"run.steps=2"})); });
  }
};

TEST_F(Fill, GuessesEveryMask) {
  const CommandResult result = interlock({"fill", "run", "al<mask>ha b<mask>ta", "--top", "3", "--json"});
  expect_done(result);
  const json predictions = last_object(result)["predictions"];
  ASSERT_EQ(predictions.size(), 2U);
  for (const json& guesses : predictions) {
    ASSERT_EQ(guesses.size(), 3U);
    double sum = 0, before = 1;
    for (const json& guess : guesses) {
      const double probability = guess["probability"];
      EXPECT_GT(probability, 0);
      EXPECT_LE(probability, before);
      EXPECT_TRUE(guess["id"] >= 0 && guess["id"] < 261);
      EXPECT_FALSE(guess["token"].get<std::string>().empty());
      before = probability;
      sum += probability;
    }
    EXPECT_LE(sum, 1 + 1e-12);  // three roundings of numbers below one
  }
}

TEST_F(Fill, AllTokensHaveAProbabilityOfOneTogether) {
  const CommandResult result = interlock({"fill", "run/weights.safetensors", "<mask>", "--top", "1000", "--json"});
  expect_done(result);
  double sum = 0;
  const json predictions = last_object(result)["predictions"];
  ASSERT_EQ(predictions.size(), 1U);
  EXPECT_EQ(predictions[0].size(), 261U);
  for (const json& guess : predictions[0]) sum += guess["probability"].get<double>();
  EXPECT_NEAR(sum, 1, 1e-12);  // 261 roundings of numbers below one, in double precision
}

TEST_F(Fill, ForPeopleEveryMaskIsALine) {
  const CommandResult result = interlock({"fill", "run", "a<mask>b<mask>"});
  expect_done(result);
  EXPECT_THAT(result.output, ContainsRegex("^mask 1:.*\nmask 2:.*\n$"));
}

TEST_F(Fill, TextItCannotTakeIsUsage) {
  expect_failure(interlock({"fill", "run", "no place to guess"}), 2, {"<mask>"});
  expect_failure(interlock({"fill", "run", ""}), 2, {"<mask>"});
  expect_failure(interlock({"fill", "run", "<mask>" + std::string(30, 'a')}), 2, {"33 tokens", "at most 32"});
  expect_done(interlock({"fill", "run", "<mask>" + std::string(29, 'a')}));
  expect_usage(interlock({"fill", "run", "<mask>", "--top", "0"}), "--top");
}

// The header of a safetensors file with something replaced in it, its length put right.
std::string with_header(const std::string& file, const std::string& what, const std::string& by) {
  const size_t length = static_cast<unsigned char>(file[0]) | static_cast<unsigned char>(file[1]) << 8 |
                        static_cast<unsigned char>(file[2]) << 16;
  std::string header = file.substr(8, length);
  const size_t at = header.find(what);
  EXPECT_NE(at, std::string::npos);
  header.replace(at, what.size(), by);
  std::string size(8, '\0');
  for (int i = 0; i < 3; ++i) size[i] = static_cast<char>(header.size() >> (8 * i));
  return size + header + file.substr(8 + length);
}

TEST_F(Fill, WeightsThatDoNotSayTheirModelAreRefused) {
  // Without its hash, or nothing but that would be told.
  const std::string whole = with_header(read("run/weights.safetensors"), "interlock.sha256", "another.sha256");
  write("other.safetensors", with_header(whole, "interlock.config", "another.program"));
  expect_failure(interlock({"fill", "other.safetensors", "<mask>"}), 65, {"other.safetensors", "interlock.config"});
  expect_done(interlock({"inspect", "other.safetensors"}));
  write("other.safetensors", with_header(whole, "[model]", "[mod"));
  expect_failure(interlock({"fill", "other.safetensors", "<mask>"}), 65, {"other.safetensors", "TOML"});
  // Well formed as its tensors are, nobody can use it.
  expect_failure(interlock({"verify", "other.safetensors"}), 65, {"other.safetensors", "interlock.config", "TOML"});
  write("other.safetensors", with_header(whole, "width = 16", "width = 32"));
  expect_failure(interlock({"fill", "other.safetensors", "<mask>"}), 65, {"other.safetensors", "shape"});
}

// A petabyte for the first tensor is more than any process can address. LibTorch's own words for it come with a stack
// trace, which is nothing for people.
TEST_F(Fill, AModelBeyondAnyMemoryIsOneSentence) {
  const std::string whole = with_header(read("run/weights.safetensors"), "interlock.sha256", "another.sha256");
  write("huge.safetensors", with_header(whole, "width = 16", "width = 1000000000000"));
  // It used to ask for the memory first (70): a width beyond every machine is refused where it is read.
  expect_failure(interlock({"fill", "huge.safetensors", "<mask>"}), 65, {"huge.safetensors", "width", "1000000000000"});
}

TEST_F(Fill, AModelOfNoTextIsRefused) {
  write("mlp.toml",
        "[model]\nname = \"mlp\"\nlayers = 4\n[data]\nname = \"spirals\"\n[learning]\nrule = \"local\"\n"
        "[parallel]\ntransport = \"loopback\"\n[run]\nsteps = 1\nfolder = \"mlp\"\n");
  expect_done(interlock({"train", "mlp.toml"}));
  expect_failure(interlock({"fill", "mlp", "a<mask>"}), 64, {"spirals", "text"});
}

}  // namespace
}  // namespace interlock
