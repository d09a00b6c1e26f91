// `interlock tokenize train`: byte-level BPE from text.

#include <CLI/CLI.hpp>
#include <chrono>
#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>

#include "launch/commands/tokenize/input.h"
#include "launch/terminal/json_line.h"
#include "launch/terminal/number_option.h"
#include "runtime/core/error.h"
#include "runtime/data/tokenizer/byte_level_tokenizer.h"
#include "runtime/data/tokenizer/pretokens.h"
#include "runtime/data/tokenizer/train.h"

namespace interlock {
namespace {

class TokenizeTrain final : public Command {
 public:
  std::string summary() const override { return "learn a byte-level BPE vocabulary from text"; }

  void declare(CLI::App& app) override {
    input_.declare(app);
    app.add_option("--vocabulary", options_.vocabulary, "tokens, the 5 special ones and 256 bytes included")
        ->required();
    app.add_option("--min-frequency", options_.min_frequency, "a pair seen less often is not merged")
        ->transform(whole_number(1))
        ->capture_default_str();
    app.add_option("--output", output_, "folder for tokenizer.json, vocab.json and merges.txt")
        ->type_name("DIR")
        ->required();
    app.add_flag("--overwrite", overwrite_, "replace a tokenizer that is there");
    app.add_flag("--json", json_, "end with one JSON object on stdout");
  }

  int run() override {
    TrainOptions options = options_;
    options.check();
    const std::filesystem::path folder = output_;
    refuse_existing({folder / "tokenizer.json", folder / "vocab.json", folder / "merges.txt"}, overwrite_);
    const auto start = std::chrono::steady_clock::now();

    const Interruption interruption;
    WordCounts words(input_.threads());
    int64_t documents = 0;
    const TokenizeInput::Read read = input_.run<int64_t>(
        "reading", {is_safe_cut, 4},
        [&](TextBlock block, int worker) {
          int64_t ended = 0;
          for (const TextBlock::Part& part : block.parts) {
            words.add_text(std::string_view(block.text).substr(part.begin, part.end - part.begin), worker);
            ended += part.ends;
          }
          return ended;
        },
        [&](int64_t ended) { documents += ended; }, interruption);
    words.finish();
    const ByteLevelTokenizer tokenizer(learn(words, options, interruption));
    tokenizer.save(output_);
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    report(tokenizer, words, read, documents, seconds);
    return static_cast<int>(ExitCode::done);
  }

 private:
  TokenizerContent learn(const WordCounts& words, TrainOptions& options, const Interruption& interruption) const {
    AmountProgress progress("merging", options.vocabulary, false);
    options.progress = [&](int64_t tokens) {
      interruption.check();
      progress.show(tokens);
    };
    return train_bpe(words, options);
  }

  void report(const Tokenizer& tokenizer, const WordCounts& words, const TokenizeInput::Read& read, int64_t documents,
              double seconds) const {
    const int64_t merges = tokenizer.vocabulary() - TrainOptions::least_vocabulary;
    if (json_) {
      std::cout << json_line(nlohmann::ordered_json{{"output", output_},
                                                    {"vocabulary", tokenizer.vocabulary()},
                                                    {"merges", merges},
                                                    {"files", read.files},
                                                    {"documents", documents},
                                                    {"bytes", read.bytes},
                                                    {"distinct_words", words.words()},
                                                    {"replaced", read.replaced},
                                                    {"seconds", seconds},
                                                    {"fingerprint", tokenizer.fingerprint()}})
                << std::flush;
      return;
    }
    std::cout << output_ << ": a vocabulary of " << with_commas(tokenizer.vocabulary()) << " from "
              << with_commas(read.bytes) << " bytes in " << with_commas(read.files) << " files, "
              << with_commas(static_cast<int64_t>(words.words())) << " distinct words\n";
    if (tokenizer.vocabulary() < options_.vocabulary)
      std::cout << "smaller than the " << with_commas(options_.vocabulary) << " asked for: no pair of tokens occurs "
                << options_.min_frequency << " times any more; give more text, or --min-frequency 1\n";
  }

  TokenizeInput input_;
  TrainOptions options_;
  std::string output_;
  bool overwrite_ = false, json_ = false;
};

}  // namespace

std::unique_ptr<Command> make_tokenize_train() { return std::make_unique<TokenizeTrain>(); }

}  // namespace interlock
