// Speed of the tokenizer on one core: encodes a file again and again, or trains a vocabulary on it.
//   bench_tokenizer encode --tokenizer DIR --input FILE [--seconds S]
//   bench_tokenizer train --vocabulary N --input FILE
// The last line of output is one JSON object. Reading the file is not measured.

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "runtime/core/error.h"
#include "runtime/data/tokenizer.h"
#include "runtime/data/tokenizer/train.h"

namespace {

using namespace interlock;
using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

std::string read_text(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw Error(ExitCode::bad_input, "cannot read " + path);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

// The tokenizer is opened anew for each round, so that its cache of words starts cold as a user's does.
nlohmann::json encode(const std::string& tokenizer, const std::string& text, double seconds) {
  double spent = 0;
  int rounds = 0;
  std::vector<int32_t> ids;
  while (spent < seconds) {
    const auto opened = Tokenizer::open(tokenizer);
    ids.clear();
    const auto start = Clock::now();
    opened->encode(text, ids);
    spent += seconds_since(start);
    ++rounds;
  }
  return {{"megabytes_per_second", static_cast<double>(text.size()) * rounds / spent / 1e6},
          {"tokens", ids.size()},
          {"seconds", spent / rounds}};
}

nlohmann::json train(const std::string& text, int64_t vocabulary) {
  const auto start = Clock::now();
  WordCounts words(1);
  words.add_text(text, 0);
  words.finish();
  const double counted = seconds_since(start);
  TrainOptions options;
  options.vocabulary = vocabulary;
  const TokenizerContent content = train_bpe(words, options);
  return {{"seconds", seconds_since(start)}, {"seconds_counting", counted}, {"merges", content.merges.size()}};
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Speed of the tokenizer on one core.");
  app.require_subcommand(1);
  std::string tokenizer, input;
  double seconds = 2;
  int64_t vocabulary = 8192;
  CLI::App* encoding = app.add_subcommand("encode", "bytes per second");
  encoding->add_option("--tokenizer", tokenizer)->required();
  encoding->add_option("--input", input)->required();
  encoding->add_option("--seconds", seconds);
  CLI::App* training = app.add_subcommand("train", "seconds for a vocabulary");
  training->add_option("--vocabulary", vocabulary);
  training->add_option("--input", input)->required();
  CLI11_PARSE(app, argc, argv);
  try {
    const std::string text = read_text(input);
    std::cout << (encoding->parsed() ? encode(tokenizer, text, seconds) : train(text, vocabulary)).dump() << std::endl;
    return 0;
  } catch (const Error& error) {
    std::fprintf(stderr, "bench_tokenizer: %s\n", error.what());
    return static_cast<int>(error.code());
  }
}
