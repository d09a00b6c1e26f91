// What a config accepts, what it refuses and in which words, and the resolved form.

#include "runtime/core/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <thread>

#include "runtime/core/error.h"
#include "runtime/core/likely_keys.h"

namespace interlock {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

// A file in a fresh folder, so that messages name a real path.
class ConfigFile : public testing::Test {
 protected:
  ConfigFile() {
    std::string pattern = (std::filesystem::temp_directory_path() / "interlock_config_XXXXXX").string();
    folder_ = mkdtemp(pattern.data());
  }
  ~ConfigFile() override { std::filesystem::remove_all(folder_); }

  Config load(const std::string& text, const std::vector<std::string>& overrides = {}) {
    std::ofstream(path(), std::ios::binary) << text;
    return Config::from_file(path(), overrides);
  }
  std::string path() const { return folder_ + "/run.toml"; }
  const std::string& folder() const { return folder_; }

 private:
  std::string folder_;
};

std::string refusal(const std::function<void()>& act) {
  try {
    act();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::config);
    return error.what();
  }
  ADD_FAILURE() << "nothing was refused";
  return "";
}

TEST_F(ConfigFile, GivesValuesAndDefaults) {
  const Config config = load("[model]\nname = 'mlp'\nwidth = 64\ndropout = 0.5\ntie = true\npaths = ['a', 'b']\n");
  const Section model = config.section("model");
  EXPECT_EQ(model.text("name", "roberta"), "mlp");
  EXPECT_EQ(model.integer("width", 1), 64);
  EXPECT_EQ(model.number("dropout", 0.1), 0.5);
  EXPECT_TRUE(model.flag("tie", false));
  EXPECT_THAT(model.texts("paths", {}), ElementsAre("a", "b"));
  EXPECT_EQ(model.integer("layers", 8), 8);
  EXPECT_EQ(config.section("run").text("folder", "runs"), "runs");
  EXPECT_TRUE(model.has("width"));
  EXPECT_FALSE(model.has("layers"));
  EXPECT_FALSE(config.section("absent").has("layers"));
  EXPECT_EQ(config.file(), path());
  config.reject_unknown();
}

TEST_F(ConfigFile, TakesIntegersForNumbers) {
  const Config config = load("[a]\nx = 1\nlist = [2, 0.25]\nrows = [[1, 0.5], []]\n");
  EXPECT_THAT(config.section("a").numbers("list", {}), ElementsAre(2.0, 0.25));
  EXPECT_EQ(config.section("a").number("x", 0), 1.0);
  EXPECT_EQ(config.section("a").matrix("rows", {}), (std::vector<std::vector<double>>{{1, 0.5}, {}}));
}

TEST_F(ConfigFile, UnknownKeyNamesLineAndNearest) {
  const Config config = load("# comment\n[learning]\nhorizn = 2\n");
  config.section("learning").integer("horizon", 2);
  const auto said = refusal([&] { config.reject_unknown(); });
  EXPECT_THAT(said, HasSubstr(path() + ":3: learning.horizn: unknown key; did you mean \"horizon\"?"));
  EXPECT_THAT(said, HasSubstr("[learning] knows: horizon"));
}

TEST_F(ConfigFile, ReportsTheFirstUnknownKeyOfTheFile) {
  const Config config = load("[zeta]\nfirst = 1\n[alpha]\nsecond = 2\n");
  config.section("zeta").integer("known", 1);
  config.section("alpha").integer("known", 1);
  EXPECT_THAT(refusal([&] { config.reject_unknown(); }), HasSubstr(":2: zeta.first"));
}

TEST_F(ConfigFile, UnknownSectionAndMisplacedKeys) {
  const Config misspelt = load("[modle]\nwidth = 3\n");
  misspelt.section("model").integer("width", 1);
  EXPECT_THAT(refusal([&] { misspelt.reject_unknown(); }),
              HasSubstr(":1: modle: unknown section; did you mean \"model\"?"));

  const Config bare = load("seed = 3\n[run]\nsteps = 1\n");
  bare.section("run").integer("seed", 1);
  bare.section("run").integer("steps", 1);
  EXPECT_THAT(refusal([&] { bare.reject_unknown(); }), HasSubstr(":1: seed: unknown key; did you mean \"run.seed\"?"));

  const Config quoted = load("\"run.seed\" = 3\n[run]\n");
  quoted.section("run").integer("seed", 1);
  EXPECT_THAT(refusal([&] { quoted.reject_unknown(); }), HasSubstr("unknown key"));

  const Config deep = load("[run]\n[run.extra]\nx = 1\n");
  deep.section("run").integer("seed", 1);
  EXPECT_THAT(refusal([&] { deep.reject_unknown(); }), HasSubstr(":2: run.extra: unknown section"));
}

TEST_F(ConfigFile, AskingHasDoesNotMakeAKeyKnown) {
  const Config config = load("[a]\nx = 1\n");
  EXPECT_TRUE(config.section("a").has("x"));
  EXPECT_FALSE(config.section("a").is_text("x"));
  refusal([&] { config.reject_unknown(); });
}

TEST_F(ConfigFile, WrongTypesNamePlaceAndBoth) {
  const Config config =
      load("[a]\nword = 'two'\nwhole = 3\nreal = 1.5\nyes = true\nlist = [1, 'x']\nday = 2020-01-01\n");
  const Section a = config.section("a");
  EXPECT_THAT(refusal([&] { a.integer("word", 1); }),
              HasSubstr(path() + ":2: a.word: an integer is expected, found the string \"two\""));
  EXPECT_THAT(refusal([&] { a.integer("real", 1); }),
              HasSubstr(":4: a.real: an integer is expected, found the number 1.5"));
  EXPECT_THAT(refusal([&] { a.text("whole", ""); }), HasSubstr("a string is expected, found the integer 3"));
  EXPECT_THAT(refusal([&] { a.number("yes", 1); }), HasSubstr("a number is expected, found true"));
  EXPECT_THAT(refusal([&] { a.flag("word", true); }), HasSubstr("true or false is expected"));
  EXPECT_THAT(refusal([&] { a.integers("list", {}); }), HasSubstr("found the string \"x\" at place 1"));
  EXPECT_THAT(refusal([&] { a.numbers("list", {}); }), HasSubstr("found the string \"x\" at place 1"));
  EXPECT_THAT(refusal([&] { a.texts("list", {}); }), HasSubstr("found the integer 1 at place 0"));
  EXPECT_THAT(refusal([&] { a.texts("word", {}); }), HasSubstr("a list of strings"));
  EXPECT_THAT(refusal([&] { a.matrix("list", {}); }), HasSubstr("a list of rows"));
  EXPECT_THAT(refusal([&] { a.text("day", ""); }), HasSubstr("found a date or time"));
  EXPECT_THAT(refusal([&] { a.sections("whole"); }), HasSubstr("each under its own [[a.whole]]"));
}

// Typed as people type it, and never when it would round.
TEST_F(ConfigFile, AWholeNumberIsAnInteger) {
  const Config config = load("[a]\nx = 1e3\ny = -2.0\nlist = [1e2, 3]\nhuge = 1e30\nhalf = 1.5e0\n", {"a.set=2e4"});
  const Section a = config.section("a");
  EXPECT_EQ(a.integer("x", 0), 1000);
  EXPECT_EQ(a.integer("y", 0), -2);
  EXPECT_EQ(a.integer("set", 0), 20000);
  EXPECT_THAT(a.integers("list", {}), ElementsAre(100, 3));
  EXPECT_THAT(refusal([&] { a.integer("huge", 0); }), HasSubstr("an integer is expected"));
  EXPECT_THAT(refusal([&] { a.integer("half", 0); }), HasSubstr("an integer is expected"));
  EXPECT_THAT(config.resolved(), HasSubstr("x = 1000\n"));
}

// A shell has no other way to write a text without quotes inside quotes. In a file there is one.
TEST_F(ConfigFile, AnOverrideIsTheTextThatItLooksLike) {
  const Config config = load("[a]\nfolder = 7\n", {"a.number=42", "a.word=true", "a.exact=1e-05", "a.list=[1]"});
  const Section a = config.section("a");
  EXPECT_EQ(a.text("number", ""), "42");
  EXPECT_EQ(a.text("word", ""), "true");
  EXPECT_EQ(a.text("exact", ""), "1e-05");
  EXPECT_THAT(refusal([&] { a.text("list", ""); }), HasSubstr("found a list"));
  EXPECT_THAT(refusal([&] { a.text("folder", ""); }), HasSubstr("found the integer 7"));
  EXPECT_THAT(config.resolved(), HasSubstr("number = \"42\"\n"));
}

TEST_F(ConfigFile, WordsOfOtherToolsHaveTheirKey) {
  const Config config = load("[model]\n", {"model.hidden_size=8"});
  config.section("model").integer("width", 1);
  EXPECT_THAT(refusal([&] { config.reject_unknown(); }),
              HasSubstr("--set model.hidden_size: unknown key; that is model.width here."));
  for (const auto& [word, key] : std::map<std::string, std::string>{{"lr", "optimizer.learning_rate"},
                                                                    {"num-layers", "model.layers"},
                                                                    {"training.batch_size", "parallel.microbatch_size"},
                                                                    {"epochs", "run.steps"}})
    EXPECT_THAT(likely_key(word), StartsWith(key));
  EXPECT_EQ(likely_key("nonsense"), "");
}

TEST_F(ConfigFile, TablesAndValuesAreNotMixedUp) {
  const Config table = load("[model.layers]\nx = 1\n");
  EXPECT_THAT(refusal([&] { table.section("model").integer("layers", 1); }),
              HasSubstr(":1: model.layers: an integer is expected, found a table"));
  const Config value = load("model = 3\n");
  EXPECT_THAT(refusal([&] { value.section("model"); }),
              HasSubstr(":1: model: a section is expected, found the integer 3"));
}

TEST_F(ConfigFile, RangesAreInclusiveAndNamed) {
  const Config config = load("[a]\nx = 5\nr = 0.5\nbad = nan\nworse = inf\n");
  const Section a = config.section("a");
  EXPECT_EQ(a.integer("x", 1, 5, 5), 5);
  EXPECT_EQ(a.number("r", 0, 0.5, 0.5), 0.5);
  EXPECT_THAT(refusal([&] { a.integer("x", 7, 6); }), HasSubstr(":2: a.x: 5 is too small; the least is 6"));
  EXPECT_THAT(refusal([&] { a.integer("x", 1, 0, 4); }), HasSubstr("5 is too large; the most is 4"));
  EXPECT_THAT(refusal([&] { a.number("r", 1, 0.6); }), HasSubstr("0.5 is too small; the least is 0.6"));
  EXPECT_THAT(refusal([&] { a.number("r", 0, 0, 0.25); }), HasSubstr("the most is 0.25"));
  EXPECT_THAT(refusal([&] { a.number("bad", 0); }), HasSubstr("a finite number"));
  EXPECT_THAT(refusal([&] { a.number("worse", 0); }), HasSubstr("a finite number"));
}

TEST_F(ConfigFile, ChoicesSuggest) {
  const Config config = load("[optimizer]\ndecay = 'liner'\n");
  EXPECT_THAT(refusal([&] {
                config.section("optimizer").one_of("decay", "linear", {"constant", "linear"});
              }),
              HasSubstr(":2: optimizer.decay: unknown decay \"liner\"; did you mean \"linear\"?"));
}

TEST_F(ConfigFile, OverridesTakeTomlAndBareWords) {
  const Config config = load("[learning]\nrule = 'local'\nhorizon = 1\n",
                             {"learning.rule=global", "learning.horizon = 3", "data.paths=[\"x y\", 'z']",
                              "run.folder=runs/a=b", "run.rate=1e-3", "learning.matrix=[[1,0],[0,1]]",
                              "learning.change=[{at_step = 2, rule = 'sum'}]", "run.quoted='local'"});
  const Section learning = config.section("learning"), run = config.section("run");
  EXPECT_EQ(learning.text("rule", ""), "global");
  EXPECT_EQ(learning.integer("horizon", 0), 3);
  EXPECT_THAT(config.section("data").texts("paths", {}), ElementsAre("x y", "z"));
  EXPECT_EQ(run.text("folder", ""), "runs/a=b");
  EXPECT_EQ(run.number("rate", 0), 1e-3);
  EXPECT_EQ(run.text("quoted", ""), "local");
  EXPECT_EQ(learning.matrix("matrix", {}).size(), 2u);
  EXPECT_EQ(learning.sections("change").at(0).integer("at_step", 0), 2);
  EXPECT_EQ(learning.sections("change").at(0).text("rule", ""), "sum");
  config.reject_unknown();
}

TEST_F(ConfigFile, OverridesReachIntoElementsAndNewSections) {
  const Config config = load("[[learning.change]]\nrule = 'local'\n[[learning.change]]\nrule = 'sum'\n",
                             {"learning.change[1].rule=global", "a.b.c=1"});
  EXPECT_EQ(config.section("learning").sections("change").at(0).text("rule", ""), "local");
  EXPECT_EQ(config.section("learning").sections("change").at(1).text("rule", ""), "global");
  EXPECT_EQ(config.section("a.b").integer("c", 0), 1);
  config.reject_unknown();
}

TEST_F(ConfigFile, BadOverridesAreNamed) {
  const auto said = [&](const std::string& text) { return refusal([&] { load("[a]\nx = 1\n", {text}); }); };
  EXPECT_THAT(said("a.x"), HasSubstr("--set a.x: write section.key=VALUE"));
  EXPECT_THAT(said("=3"), HasSubstr("write section.key=VALUE"));
  EXPECT_THAT(said("a.x="), HasSubstr("--set a.x: no value"));
  EXPECT_THAT(said("a.x=[1,"), HasSubstr("--set a.x: [1, is not a TOML value"));
  EXPECT_THAT(said("a.x.y=1"), HasSubstr("--set a.x.y: there is no y to set in the integer 1"));
  EXPECT_THAT(said("a.list[0]=1"), HasSubstr("--set a.list[0]"));
  EXPECT_THAT(said("a.x=1\nb = 2"), HasSubstr("one line"));
  EXPECT_THAT(said("a b.x=1"), HasSubstr("is not a key"));
  for (const std::string gap : {".", "..a", ".a.x", "a..x", "a.x."})
    EXPECT_THAT(said(gap + "=1"), HasSubstr("--set " + gap + "=1: write section.key=VALUE"));
}

TEST_F(ConfigFile, MessagesAboutOverridesNameThem) {
  const Config config = load("[a]\nx = 1\n", {"a.x=word", "a.yy=2"});
  EXPECT_THAT(refusal([&] { config.section("a").integer("x", 1); }),
              HasSubstr("--set a.x: an integer is expected, found the string \"word\""));
  config.section("a").text("x", "");
  config.section("a").integer("y", 2);
  EXPECT_THAT(refusal([&] { config.reject_unknown(); }), HasSubstr("--set a.yy: unknown key; did you mean \"y\"?"));

  const Config fresh = load("", {"lerning.x=1"});
  fresh.section("learning").integer("x", 0);
  EXPECT_THAT(refusal([&] { fresh.reject_unknown(); }),
              HasSubstr("--set lerning: unknown section; did you mean \"learning\"?"));
}

TEST_F(ConfigFile, ArraysOfTables) {
  const Config config = load(
      "[learning]\nrule = 'local'\n[[learning.change]]\nat_step = 5\n"
      "[[learning.change]]\nat_step = 9\nrul = 'sum'\n");
  const Section learning = config.section("learning");
  learning.text("rule", "");
  const auto changes = learning.sections("change");
  ASSERT_EQ(changes.size(), 2u);
  EXPECT_EQ(changes[0].path(), "learning.change[0]");
  for (const auto& change : changes) {
    change.integer("at_step", 0);
    change.text("rule", "local");
  }
  EXPECT_THAT(refusal([&] { config.reject_unknown(); }),
              HasSubstr(":7: learning.change[1].rul: unknown key; did you mean \"rule\"?"));
  EXPECT_THAT(refusal([&] { changes[1].integer("at_step", 0, 0, 8); }), HasSubstr(":6: learning.change[1].at_step"));
  EXPECT_TRUE(learning.sections("absent").empty());

  const Config single = load("[learning.change]\nat_step = 5\n");
  EXPECT_THAT(refusal([&] { single.section("learning").sections("change"); }), HasSubstr("[[learning.change]]"));
}

TEST_F(ConfigFile, RefuseNamesThePlaceWhereThereIsOne) {
  const Config config = load("[a]\nx = 1\n");
  EXPECT_EQ(refusal([&] { config.section("a").refuse("x", "too odd"); }), path() + ":2: a.x: too odd");
  EXPECT_EQ(refusal([&] { config.section("a").refuse("gone", "is needed"); }), path() + ": a.gone: is needed");
}

TEST_F(ConfigFile, SyntaxErrorsNameFileAndLine) {
  EXPECT_THAT(refusal([&] { load("[a]\nx = = 1\n"); }), HasSubstr(path() + ":2:"));
  EXPECT_THAT(refusal([&] { load("[a]\nx = 1\nx = 2\n"); }), HasSubstr(path() + ":3:"));
  EXPECT_THAT(refusal([&] { load("[a]\nx = 1\n[a]\n"); }), HasSubstr(path() + ":3:"));
  EXPECT_THAT(refusal([&] { load("[a]\nx = 'open\n"); }), HasSubstr(path() + ":2:"));
  EXPECT_THAT(refusal([&] { load("[a]\nx = '\xff'\n"); }), HasSubstr(path() + ":2:"));
}

TEST_F(ConfigFile, UnreadableFilesAreNamed) {
  const std::string gone = folder() + "/gone.toml";
  const auto said = refusal([&] { Config::from_file(gone); });
  EXPECT_THAT(said, HasSubstr(gone));
  EXPECT_THAT(said, HasSubstr("No such file"));
  EXPECT_THAT(refusal([&] { Config::from_file(folder()); }), HasSubstr("directory"));
}

TEST_F(ConfigFile, EmptyFilesAreLegal) {
  const Config config = load("");
  EXPECT_EQ(config.section("a").integer("x", 3), 3);
  config.reject_unknown();
}

// Ranks that are threads share one config; under ThreadSanitizer this also shows a missing lock.
TEST_F(ConfigFile, ThreadsMayAskAtTheSameTime) {
  const Config config = load("[a]\nx = 1\n");
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 4; ++thread)
    threads.emplace_back([&config, thread] {
      for (int i = 0; i < 50; ++i) {
        const Section section = config.section("a");
        section.integer("x", 0);
        section.integer("key" + std::to_string(i), i);
        config.section("own" + std::to_string(thread)).integer("x", thread);
      }
    });
  for (auto& thread : threads) thread.join();
  config.reject_unknown();
  const std::string resolved = config.resolved();
  for (int i = 0; i < 50; ++i)
    EXPECT_THAT(resolved, HasSubstr("key" + std::to_string(i) + " = " + std::to_string(i) + "\n"));
  for (int thread = 0; thread < 4; ++thread) EXPECT_THAT(resolved, HasSubstr("[own" + std::to_string(thread) + "]\n"));
}

// Asks for everything once; the same calls on the resolved text must give the same.
std::string ask_all(const Config& config) {
  const Section run = config.section("run");
  run.text("label", "quote \" slash \\ tab \t bell \a line \n end");
  run.number("third", 1.0 / 3);
  run.number("tiny", 5e-324);
  run.number("huge", 1e300);
  run.number("whole", 2);
  run.integer("least", std::numeric_limits<int64_t>::min());
  run.flag("on", true);
  const Section learning = config.section("learning");
  learning.matrix("matrix", {{1, 0.1}, {0, 1}});
  learning.matrix("empty", {});
  learning.integers("frozen", {1, 2});
  learning.numbers("shares", {0.1, 2});
  for (const auto& change : learning.sections("change")) {
    change.integer("at_step", 2);
    change.text("rule", "global");
  }
  config.section("data").texts("paths", {"a", "b\"c"});
  return config.resolved();
}

TEST(Resolved, ReadsBackToTheSame) {
  const std::string once =
      ask_all(Config::from_text("[learning]\n[[learning.change]]\nat_step = 7\n"
                                "[[learning.change]]\n[run]\nthird = 0.1\n"));
  const Config again = Config::from_text(once);
  EXPECT_EQ(ask_all(again), once);
  again.reject_unknown();
  EXPECT_EQ(again.section("run").number("third", 0), 0.1);
  EXPECT_EQ(again.section("run").number("tiny", 0), 5e-324);
  EXPECT_EQ(again.section("run").text("label", ""), "quote \" slash \\ tab \t bell \a line \n end");
  EXPECT_EQ(again.section("learning").sections("change").size(), 2u);
  EXPECT_EQ(again.section("learning").sections("change").at(0).integer("at_step", 0), 7);
}

TEST(Resolved, GroupsBySectionInOrderOfFirstAsk) {
  const Config config = Config::from_text("[a]\nz = 1\n");
  config.section("b").integer("y", 2);
  config.section("a").integer("z", 0);
  config.section("b").integer("x", 3);
  config.section("silent");
  EXPECT_EQ(config.resolved(), "[b]\ny = 2\nx = 3\n\n[a]\nz = 1\n");
}

TEST(Overrides, BareWordsAreTextInUtf8) {
  const auto text_of = [](const std::string& value) {
    return Config::from_text("", {"run.folder=" + value}).section("run").text("folder", "");
  };
  EXPECT_EQ(text_of("runs/it's"), "runs/it's");
  EXPECT_EQ(text_of("r\xc3\xa9sum\xc3\xa9"), "r\xc3\xa9sum\xc3\xa9");
  EXPECT_THROW(text_of("r\xe9sum\xe9"), Error);
}

}  // namespace
}  // namespace interlock
