// What was added to a model, beside AdapterHub's library and PEFT: theirs is imported and says what they say, ours
// opens there and says what we say. Where INTERLOCK_PYTHON, else python3, has torch, transformers, tokenizers and the
// library (one Python may have one of them only: `adapters` 1.3 asks for transformers 4).
#include <gmock/gmock.h>

#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "tests/launch/huggingface/exported_project.h"
#include "tests/launch/huggingface/fills.h"
#include "tests/launch/huggingface/python.h"

namespace interlock {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::Not;

// Of several options their library has for it, and what we call it.
struct Added {
  std::string name, library;
  std::string theirs;         // options of the library, as JSON
  std::string technique;      // ours
  std::string norm = "post";  // of our model
};

// GoogleTest prints it in the names of failures.
void PrintTo(const Added& added, std::ostream* out) { *out << added.name; }

class AddedThere : public Fills<HuggingFace>, public testing::WithParamInterface<Added> {
 protected:
  void SetUp() override {
    static std::map<std::string, std::string> pythons;
    const std::string& library = GetParam().library;
    if (!pythons.contains(library)) pythons[library] = python_with("torch, transformers, tokenizers, " + library);
    python_ = pythons[library];
    HuggingFace::SetUp();
  }

  void added_py(const std::string& mode, const Words& words) const {
    Words command{python_, INTERLOCK_GOLDEN "/huggingface/added.py", mode, GetParam().library};
    command.insert(command.end(), words.begin(), words.end());
    const CommandResult result = run_command(command, patient());
    EXPECT_EQ(result.code, 0) << result.all;
  }
  bool has_python() const { return !python_.empty(); }
  std::string at(const std::string& name) const { return path(name).string(); }

  // Overrides of whatever trains our model.
  static Words ours(Words more = {}) {
    if (GetParam().norm != "post") more.push_back("model.norm=" + GetParam().norm);
    return more;
  }
  // `on`: `run` with the technique trained on it.
  void train_on_it(const Words& more = {}) {
    Words overrides{"technique=[" + GetParam().technique + "]", "run.weights=run", "run.folder=on", "run.steps=6",
                    "optimizer.learning_rate=0.03"};
    overrides = ours(std::move(overrides));
    overrides.insert(overrides.end(), more.begin(), more.end());
    expect_done(train(overrides));
    export_model();
    const CommandResult exported = interlock({"export", "on", "--adapter", "--to", "adapter"});
    expect_done(exported);
    EXPECT_THAT(exported.output, Not(HasSubstr("Left out")));
  }
  // A classification with the technique, exported to `adapter`; what it says of rows.jsonl is returned.
  json fine_tune() {
    train_model(ours());
    std::string table = "text,label\n", rows;
    for (int i = 0; i < 24; ++i) {
      const std::string text = (i % 2 == 0 ? "alpha caf\u00e9 " : "beta ") + std::to_string(i);
      table += text + "," + (i % 2 == 0 ? "plus" : "minus") + "\n";
      if (i < 6) rows += json{{"text", text}}.dump() + "\n";
    }
    write("table.csv", table);
    write("rows.jsonl", rows);
    expect_done(interlock({"finetune", "run", "--train", "table.csv", "--text", "text", "--label", "label", "--seeds",
                           "1", "--set", "optimizer.learning_rate=0.01", "--set", "data.held_out=0.2", "--set",
                           "technique=[" + GetParam().technique + "]", "--to", "ft"}));
    expect_done(interlock({"export", "ft/seed-1", "--adapter", "--to", "adapter"}));
    const CommandResult said = interlock({"predict", "ft/seed-1", "--input", "rows.jsonl", "--json"});
    expect_done(said);
    return last_object(said);
  }

 private:
  std::string python_;
};

#define SKIP_WITHOUT_PYTHON()                                                                 \
  if (!has_python())                                                                          \
  GTEST_SKIP() << "no Python with torch, transformers, tokenizers and " << GetParam().library \
               << " (INTERLOCK_PYTHON names one)"

TEST_P(AddedThere, TheirsSaysHereWhatItSaysThere) {
  SKIP_WITHOUT_PYTHON();
  added_py("random", {at("theirs"), "5", GetParam().theirs});
  expect_done(interlock({"import", "theirs/adapter", "--base", "theirs/base", "--to", "in"}));
  const json expected = json::parse(read("theirs/expected.json"));
  EXPECT_EQ(compare_fills("in", expected), 7U);
  // And back: their library takes it as it took its own.
  expect_done(interlock({"export", "in", "--adapter", "--to", "again"}));
  added_py("open", {at("theirs/base"), at("again"), at("theirs/expected.json")});
}

TEST_P(AddedThere, OursSaysThereWhatItSaysHere) {
  SKIP_WITHOUT_PYTHON();
  train_model(ours());
  train_on_it({"model.frozen=['lm_head.*']"});
  write("expected.json", expected_fills("on").dump());
  added_py("open", {at("hf"), at("adapter"), at("expected.json")});
}

TEST_P(AddedThere, WithItsReadout) {
  SKIP_WITHOUT_PYTHON();
  for (const std::string tie : {"model.tie_embeddings=false", "model.tie_embeddings=true"}) {
    SCOPED_TRACE(tie);
    for (const char* folder : {"run", "on", "hf", "adapter", "again"}) std::filesystem::remove_all(path(folder));
    train_model(ours({tie}));
    train_on_it({tie});
    write("expected.json", expected_fills("on").dump());
    added_py("open", {at("hf"), at("adapter"), at("expected.json")});
    expect_done(interlock({"import", "adapter", "--base", "run", "--to", "again"}));
    EXPECT_EQ(expected_fills("again"), expected_fills("on"));
  }
}

// On a model that knows nothing of classes.
TEST_P(AddedThere, ClassesGoAlong) {
  const json said = fine_tune();
  const CommandResult imported = interlock({"import", "adapter", "--base", "run", "--to", "again"});
  expect_done(imported);
  EXPECT_THAT(imported.output, HasSubstr("Its classes are plus, minus"));
  const CommandResult again = interlock({"predict", "again", "--input", "rows.jsonl", "--text", "text", "--json"});
  expect_done(again);
  EXPECT_EQ(last_object(again), said);
}

TEST_P(AddedThere, ClassesSayThereWhatTheySayHere) {
  SKIP_WITHOUT_PYTHON();
  write("said.json", fine_tune().dump());
  // In transformers the base is what names the classes.
  export_model();
  change_config([](json& config) { config["id2label"] = {{"0", "plus"}, {"1", "minus"}}; });
  change_config([](json& config) { config["label2id"] = {{"plus", 0}, {"minus", 1}}; });
  added_py("label", {at("hf"), at("adapter"), at("rows.jsonl"), at("said.json")});
}

INSTANTIATE_TEST_SUITE_P(
    Kinds, AddedThere,
    testing::Values(
        Added{"Houlsby", "adapters",
              R"({"mh_adapter": true, "output_adapter": true, "reduction_factor": 16, "non_linearity": "swish"})",
              R"({name = "adapters", size = 3, deviation = 0.3, train_norms = false})"},
        Added{"Pfeiffer", "adapters",
              R"({"mh_adapter": false, "output_adapter": true, "reduction_factor": 5, "non_linearity": "relu", )"
              R"("original_ln_before": true, "original_ln_after": true, "leave_out": [1]})",
              R"({name = "adapters", variant = "pfeiffer", size = 4, deviation = 0.3, layers = [1, 3], )"
              R"(train_norms = false, adapter_name = "mine"})"},
        Added{"QueryAndValue", "peft", R"({"r": 3, "lora_alpha": 6, "target_modules": ["query", "value"]})",
              R"({name = "lora", rank = 2})"},
        // "dense" is in the readout's names too, which no update is for here.
        Added{"Dense", "peft",
              R"({"r": 2, "lora_alpha": 3, "target_modules": ["dense"], "exclude_modules": ["lm_head.dense"]})",
              R"({name = "lora", rank = 2, alpha = 3.0, targets = ["dense", "key"]})"},
        // Its final norm trains with the readout.
        Added{"PreNorm", "peft", R"({"r": 1, "lora_alpha": 1, "target_modules": ["key"]})",
              R"({name = "lora", rank = 3})", "pre"}),
    [](const auto& all) { return all.param.name; });

}  // namespace
}  // namespace interlock
