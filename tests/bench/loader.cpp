// What batches of the dataset `tokens` cost: opening a token file, a batch and its parts, the count of a step's targets
// (processor time), and what a consumer waits for batches made ahead. bench_loader TOKENIZER PREFIX [LENGTH], with the
// folder of a tokenizer and a token file made with it.

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <numeric>
#include <string>

#include "runtime/core/config.h"
#include "runtime/data/batch_stream.h"
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

double thread_seconds() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

// Microseconds for a sample, over batches of 64 samples until about a second has gone by.
double cost_of_sample(const Dataset& dataset, BatchParts parts) {
  std::vector<int64_t> numbers(64);
  double seconds = 0;
  int64_t samples = 0;
  while (seconds < 1) {
    std::iota(numbers.begin(), numbers.end(), samples);
    seconds += seconds_of([&] { dataset.batch(Split::training, numbers, parts); });
    samples += std::ssize(numbers);
  }
  return 1e6 * seconds / static_cast<double>(samples);
}

// A step of 8,192 sequences over 8 replicas: what each rank walks for the divisor of its loss.
void measure_targets(const std::shared_ptr<const Dataset>& dataset) {
  constexpr int64_t replicas = 8, steps = 50;
  const Loader loader(dataset, {replicas, 16, 64});
  int64_t whole = 0, sum = 0;
  const double all = seconds_of([&] {
    for (int64_t step = 1; step <= steps; ++step) whole += loader.training_targets(step);
  });
  const double shares = seconds_of([&] {
    for (int64_t step = 1; step <= steps; ++step) {
      for (int64_t replica = 0; replica < replicas; ++replica) sum += loader.training_targets(step, replica);
    }
  });
  std::printf("  targets of %ld sequences: %.0f us, of a replica's share %.0f us%s\n",
              static_cast<long>(loader.samples_per_step(1)), 1e6 * all / steps, 1e6 * shares / (steps * replicas),
              whole == sum ? "" : " (counts differ!)");
}

// A consumer that computes for 2 ms on each batch of 64 samples: how long it is held up by taking one (wall-clock time,
// the median), and what all threads together take of the processor.
void measure_waiting(const char* name, const auto& take) {
  constexpr int64_t batches = 400;
  std::vector<double> held_up;
  const double all = seconds_of([&] {
    for (int64_t m = 0; m < batches; ++m) {
      const auto begin = std::chrono::steady_clock::now();
      take(m);
      held_up.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
      const double until = thread_seconds() + 0.002;
      while (thread_seconds() < until) {
      }
    }
  });
  std::ranges::nth_element(held_up, held_up.begin() + batches / 2);
  std::printf("  a batch %s: %.1f us until it is there, %.0f us of the processor beside 2000 of computing\n", name,
              1e6 * held_up[batches / 2], 1e6 * all / batches - 2000);
}

void measure_stream(const std::shared_ptr<const Dataset>& dataset) {
  const auto loader = std::make_shared<const Loader>(dataset, BatchShape{1, 400, 64});
  measure_waiting("when asked", [&](int64_t m) { loader->training(1, 0, m); });
  BatchStream stream(loader, {.last_step = 1});
  measure_waiting("made ahead", [&](int64_t m) { stream.take(1, m); });
  std::printf("  %.1f us of waiting for each\n", 1e6 * stream.seconds_waited() / 400);
}

// Batches of 64 samples until about a second has gone by.
void measure(const std::string& tokenizer, const std::string& prefix, int64_t length, const std::string& objective) {
  const Config config =
      Config::from_text("[tokenizer]\npath = '" + tokenizer + "'\n[data]\npaths = ['" + prefix +
                        "']\nsequence_length = " + std::to_string(length) + "\n[objective]\n" + objective);
  const DatasetSettings settings{config.section("data"), config.section("objective"), config.section("tokenizer"), 1};
  const std::shared_ptr<Dataset> dataset = Datasets::instance().create("dataset", "tokens", settings);
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
  std::printf("  of a sample inputs alone %.2f us, targets alone %.2f us, neither %.3f us\n",
              cost_of_sample(*dataset, {.targets = false}), cost_of_sample(*dataset, {.inputs = false}),
              cost_of_sample(*dataset, {.inputs = false, .targets = false}));
  measure_targets(dataset);
  measure_stream(dataset);
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
