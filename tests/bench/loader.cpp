// What batches of the dataset `tokens` cost in processor time: opening a token file, a batch, and the count of its
// targets. bench_loader TOKENIZER PREFIX [LENGTH], with the folder of a tokenizer and a token file made with it.

#include <cstdio>
#include <ctime>
#include <numeric>
#include <string>

#include "runtime/core/config.h"
#include "runtime/data/dataset.h"
#include "runtime/data/token_file.h"

namespace interlock {
namespace {

// Of the processor, so that other programs on a busy machine do not count. One thread runs here.
double seconds_of(const auto& work) {
  const std::clock_t begin = std::clock();
  work();
  return static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
}

// Batches of 64 samples until about a second has gone by.
void measure(const std::string& tokenizer, const std::string& prefix, int64_t length, const std::string& objective) {
  const Config config =
      Config::from_text("[tokenizer]\npath = '" + tokenizer + "'\n[data]\npaths = ['" + prefix +
                        "']\nsequence_length = " + std::to_string(length) + "\n[objective]\n" + objective);
  const DatasetSettings settings{config.section("data"), config.section("objective"), config.section("tokenizer"), 1};
  const auto dataset = Datasets::instance().create("dataset", "tokens", settings);
  const double open = seconds_of([&] { dataset->open(); });
  std::vector<int64_t> numbers(64);
  int64_t batches = 0, targets = 0;
  double build = 0, count = 0;
  for (; build < 1; ++batches) {
    std::iota(numbers.begin(), numbers.end(), batches * std::ssize(numbers));
    build += seconds_of([&] { targets += dataset->batch(Split::training, numbers).predicted; });
    count += seconds_of([&] { targets -= dataset->predicted(Split::training, numbers); });
  }
  const auto samples = static_cast<double>(batches * std::ssize(numbers));
  std::printf("length %ld%s: open %.3f s; batch %.3g tokens/s (%.2f us per sample); targets %.2f us per sample%s\n",
              static_cast<long>(length), objective.empty() ? "" : ", whole words", open,
              samples * static_cast<double>(length) / build, 1e6 * build / samples, 1e6 * count / samples,
              targets == 0 ? "" : " (counts differ!)");
}

int run(int count, char** arguments) {
  if (count < 3 || count > 4) {
    std::fprintf(stderr, "usage: bench_loader TOKENIZER PREFIX [LENGTH]\n");
    return 2;
  }
  const std::string tokenizer = arguments[1], prefix = arguments[2];
  const int64_t length = count == 4 ? std::stol(arguments[3]) : 128;
  const auto file = TokenFile::open(prefix);
  std::printf("%s: %ld documents, %ld tokens\n", prefix.c_str(), static_cast<long>(file->documents()),
              static_cast<long>(file->tokens()));
  for (const char* objective : {"", "whole_word = true"}) measure(tokenizer, prefix, length, objective);
  return 0;
}

}  // namespace
}  // namespace interlock

int main(int count, char** arguments) {
  try {
    return interlock::run(count, arguments);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bench_loader: %s\n", error.what());
    return 1;
  }
}
