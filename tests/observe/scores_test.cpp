// Scores against their formulas in another form, and numbers worked out by hand.
#include <gtest/gtest.h>

#include <cmath>

#include "runtime/observe/scores.h"

namespace interlock {
namespace {

std::vector<Guess> of_table(const std::vector<std::vector<int>>& times) {  // times[truth][guess]
  std::vector<Guess> guesses;
  for (size_t truth = 0; truth < times.size(); ++truth)
    for (size_t guess = 0; guess < times.size(); ++guess)
      for (int i = 0; i < times[truth][guess]; ++i)
        guesses.push_back({static_cast<double>(guess), static_cast<double>(truth)});
  return guesses;
}

TEST(Scores, TwoClassesByTheirUsualFormulas) {
  const double tn = 50, fp = 7, fn = 11, tp = 32;
  const Scores scores = classification_scores(of_table({{50, 7}, {11, 32}}), 2);
  EXPECT_DOUBLE_EQ(scores.at("accuracy"), (tp + tn) / 100);
  const double precision = tp / (tp + fp), recall = tp / (tp + fn);
  EXPECT_DOUBLE_EQ(scores.at("f1"), 2 * precision * recall / (precision + recall));
  EXPECT_NEAR(scores.at("matthews"), (tp * tn - fp * fn) / std::sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)),
              1e-12);
}

TEST(Scores, ThreeClassesByHand) {
  // Truth a: 4 right, 1 as b; b: 3 right, 1 as c; c: 2 right, 2 as a. Of 13, 9 are right.
  const Scores scores = classification_scores(of_table({{4, 1, 0}, {0, 3, 1}, {2, 0, 2}}), 3);
  EXPECT_DOUBLE_EQ(scores.at("accuracy"), 9.0 / 13);
  EXPECT_NEAR(scores.at("f1"), (8.0 / 11 + 6.0 / 8 + 4.0 / 7) / 3, 1e-12);
  // guessed 6, 4, 3; true 5, 4, 4
  EXPECT_NEAR(scores.at("matthews"), (9.0 * 13 - (6 * 5 + 4 * 4 + 3 * 4)) / std::sqrt((169.0 - 61) * (169.0 - 57)),
              1e-12);
}

TEST(Scores, WhatIsNeitherGuessedNorTrueCountsAsZero) {
  const Scores scores = classification_scores(of_table({{5, 0}, {5, 0}}), 2);
  EXPECT_EQ(scores.at("accuracy"), 0.5);
  EXPECT_EQ(scores.at("f1"), 0);
  EXPECT_EQ(scores.at("matthews"), 0);
  EXPECT_TRUE(classification_scores({}, 2).empty());
}

// As scikit-learn's f1_score(average="macro"), which takes the classes that occur.
TEST(Scores, AClassThatDoesNotOccurIsNotInTheMean) {
  EXPECT_DOUBLE_EQ(classification_scores(of_table({{2, 0, 0}, {0, 3, 0}, {0, 0, 0}}), 3).at("f1"), 1);
  EXPECT_DOUBLE_EQ(classification_scores(of_table({{2, 0, 1}, {0, 3, 0}, {0, 0, 0}}), 3).at("f1"), (0.8 + 1 + 0) / 3);
}

TEST(Scores, CorrelationOfRanksWithTies) {
  // Ranks of the guesses 1 2.5 2.5 4, of the truth 2 1 3.5 3.5.
  const std::vector<Guess> guesses = {{0.1, 2}, {0.5, 1}, {0.5, 9}, {7, 9}};
  const double together = (1 - 2.5) * (2 - 2.5) + 0 + 0 + (4 - 2.5) * (3.5 - 2.5), a = 2.25 + 2.25,
               b = 0.25 + 2.25 + 1 + 1;
  const Scores scores = regression_scores(guesses);
  EXPECT_NEAR(scores.at("spearman"), together / std::sqrt(a * b), 1e-12);
  EXPECT_NEAR(scores.at("squared_error"), (1.9 * 1.9 + 0.25 + 8.5 * 8.5 + 4) / 4, 1e-12);
  // Any growing function of the truth keeps it at 1; a line keeps Pearson's there too.
  EXPECT_NEAR(regression_scores(std::vector<Guess>{{1, 1}, {8, 2}, {27, 3}}).at("spearman"), 1, 1e-12);
  EXPECT_LT(regression_scores(std::vector<Guess>{{1, 1}, {8, 2}, {27, 3}}).at("pearson"), 0.99);
  EXPECT_NEAR(regression_scores(std::vector<Guess>{{3, 1}, {5, 2}, {7, 3}}).at("pearson"), 1, 1e-12);
  EXPECT_EQ(regression_scores(std::vector<Guess>{{3, 1}, {3, 2}}).at("spearman"), 0);
  // Whatever comes of a number that is none, there is an end to it.
  regression_scores(std::vector<Guess>{{std::nan(""), 1}, {1, 2}, {std::nan(""), 3}});
}

TEST(Scores, WhichWayIsBetter) {
  for (const char* low : {"loss", "squared_error"}) EXPECT_TRUE(lower_is_better(low));
  for (const char* high : {"accuracy", "f1", "matthews", "spearman", "pearson"}) EXPECT_FALSE(lower_is_better(high));
}

}  // namespace
}  // namespace interlock
