#include "runtime/observe/scores.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

namespace interlock {
namespace {

double ratio(double part, double whole) { return whole == 0 ? 0 : part / whole; }

// How often each class was guessed, is true, and both.
struct Counts {
  std::vector<double> guessed, truth, both;
};

Counts count(std::span<const Guess> guesses, int64_t classes) {
  const auto size = static_cast<size_t>(classes);
  Counts counts{std::vector<double>(size), std::vector<double>(size), std::vector<double>(size)};
  for (const Guess& guess : guesses) {
    ++counts.guessed[static_cast<size_t>(guess.guessed)];
    ++counts.truth[static_cast<size_t>(guess.truth)];
    if (guess.guessed == guess.truth) ++counts.both[static_cast<size_t>(guess.truth)];
  }
  return counts;
}

double f1(const Counts& counts) {
  const auto of = [&](size_t i) { return ratio(2 * counts.both[i], counts.guessed[i] + counts.truth[i]); };
  if (counts.both.size() == 2) return of(1);
  // A class that is neither guessed nor true says nothing, as scikit-learn's macro average has it.
  double sum = 0, present = 0;
  for (size_t i = 0; i < counts.both.size(); ++i) {
    sum += of(i);
    present += counts.guessed[i] + counts.truth[i] > 0;
  }
  return ratio(sum, present);
}

// Gorodkin, 2004; of two classes it is Matthews' correlation.
double matthews(const Counts& counts, double all, double right) {
  double mixed = 0, guessed = 0, truth = 0;
  for (size_t i = 0; i < counts.both.size(); ++i) {
    mixed += counts.guessed[i] * counts.truth[i];
    guessed += counts.guessed[i] * counts.guessed[i];
    truth += counts.truth[i] * counts.truth[i];
  }
  return ratio(right * all - mixed, std::sqrt((all * all - guessed) * (all * all - truth)));
}

// From 1; equal values share the mean of theirs.
std::vector<double> ranks(const std::vector<double>& values) {
  std::vector<size_t> order(values.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::ranges::sort(order, {}, [&](size_t i) { return values[i]; });
  std::vector<double> found(values.size());
  for (size_t begin = 0, end = 0; begin < order.size(); begin = end) {
    ++end;  // a number that is none equals not even itself
    while (end < order.size() && values[order[end]] == values[order[begin]]) ++end;
    for (size_t i = begin; i < end; ++i) found[order[i]] = static_cast<double>(begin + end + 1) / 2;
  }
  return found;
}

double pearson(const std::vector<double>& a, const std::vector<double>& b) {
  const auto count = static_cast<double>(a.size());
  const double mean_a = std::accumulate(a.begin(), a.end(), 0.0) / count;
  const double mean_b = std::accumulate(b.begin(), b.end(), 0.0) / count;
  double together = 0, of_a = 0, of_b = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    together += (a[i] - mean_a) * (b[i] - mean_b);
    of_a += (a[i] - mean_a) * (a[i] - mean_a);
    of_b += (b[i] - mean_b) * (b[i] - mean_b);
  }
  return ratio(together, std::sqrt(of_a * of_b));
}

}  // namespace

Scores classification_scores(std::span<const Guess> guesses, int64_t classes) {
  if (guesses.empty()) return {};
  const Counts counts = count(guesses, classes);
  const auto all = static_cast<double>(guesses.size());
  const double right = std::accumulate(counts.both.begin(), counts.both.end(), 0.0);
  Scores scores = {{"accuracy", right / all}, {"f1", f1(counts)}, {"matthews", matthews(counts, all, right)}};
  constexpr double five = 5;
  if (static_cast<double>(classes) > five)
    scores["top5"] =
        static_cast<double>(std::ranges::count_if(guesses, [&](const Guess& guess) { return guess.above < five; })) /
        all;
  return scores;
}

Scores regression_scores(std::span<const Guess> guesses) {
  if (guesses.empty()) return {};
  std::vector<double> guessed, truth;
  double squares = 0;
  for (const Guess& guess : guesses) {
    guessed.push_back(guess.guessed);
    truth.push_back(guess.truth);
    squares += (guess.guessed - guess.truth) * (guess.guessed - guess.truth);
  }
  return {{"spearman", pearson(ranks(guessed), ranks(truth))},
          {"pearson", pearson(guessed, truth)},
          {"squared_error", squares / static_cast<double>(guesses.size())}};
}

double majority_share(std::span<const Guess> guesses) {
  std::map<double, int64_t> times;
  int64_t most = 0;
  for (const Guess& guess : guesses) most = std::max(most, ++times[guess.truth]);
  return ratio(static_cast<double>(most), static_cast<double>(guesses.size()));
}

bool lower_is_better(const std::string& score) { return score == "loss" || score == "squared_error"; }

}  // namespace interlock
