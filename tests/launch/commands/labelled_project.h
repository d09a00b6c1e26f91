#pragma once
// A small project with tables whose labels a tiny model learns within a second: a text is good when it says alpha, and
// bad when it says beta. The model reads bytes, so that no tokenizer has to be trained.

#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "tests/support/small_project.h"

namespace interlock {

class LabelledProject : public SmallProject {
 protected:
  void SetUp() override {
    write("train.tsv", table(160, 1));
    write("valid.tsv", table(60, 2));
    write("labelled.toml", R"([model]
layers = 4
width = 16
heads = 2
feed_forward = 32
max_length = 64
dropout = 0.1

[data]
name = "labelled"
paths = ["train.tsv"]
validation_paths = ["valid.tsv"]
text = "sentence"
sequence_length = 64

[learning]
rule = "global"

[parallel]
stages = 4
microbatches = 2
microbatch_size = 8
transport = "loopback"

[optimizer]
learning_rate = 1e-2

[checkpoint]
every = 10

[run]
steps = 40
folder = "run"
evaluate_every = 10
evaluate_sequences = 60
)");
  }

  // `interlock train labelled.toml --set OVERRIDE ... OPTIONS`.
  CommandResult train_labels(const Words& overrides = {}, const Words& options = {}) const {
    Words words{"train", "labelled.toml"};
    for (const std::string& one : overrides) words.insert(words.end(), {"--set", one});
    words.insert(words.end(), options.begin(), options.end());
    return interlock(words);
  }

  struct Row {
    std::string text, label;
  };
  static std::vector<Row> rows(int count, unsigned seed) {
    static const std::vector<std::string> words = {"gamma", "delta", "epsilon", "zeta",
                                                   "eta",   "theta", "iota",    "kappa"};
    std::mt19937 random(seed);
    std::vector<Row> made;
    for (int i = 0; i < count; ++i) {
      const bool good = random() % 2 == 0;
      const size_t length = 2 + random() % 7, place = random() % length;
      std::string text;
      for (size_t at = 0; at < length; ++at)
        text += (at == 0 ? "" : " ") + (at == place ? good ? "alpha" : "beta" : words[random() % words.size()]);
      made.push_back({text, good ? "good" : "bad"});
    }
    return made;
  }
  static std::string table(int count, unsigned seed) {
    std::string content = "sentence\tlabel\n";
    for (const Row& row : rows(count, seed)) content += row.text + "\t" + row.label + "\n";
    return content;
  }
};

}  // namespace interlock
