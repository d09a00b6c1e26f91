// How many classes stand above the true one, which top-5 counts by: it used to be told as always right.
#include "launch/stored_model/class_guess.h"

#include <gtest/gtest.h>

namespace interlock {
namespace {

TEST(ClassGuess, CountsTheClassesAboveTheTrueOne) {
  const std::vector<double> shares{0.05, 0.3, 0.1, 0.25, 0.2, 0.08, 0.02};
  EXPECT_EQ(class_guess(shares, 1).guessed, 1);
  EXPECT_EQ(class_guess(shares, 1).above, 0);
  EXPECT_EQ(class_guess(shares, 4).above, 2);
  EXPECT_EQ(class_guess(shares, 6).above, 6);
  EXPECT_EQ(class_guess({0.5, 0.5}, 1).above, 0) << "an equal one is not above";
}

TEST(ClassGuess, TopFiveIsNotAlwaysRight) {
  const std::vector<double> shares{0.05, 0.3, 0.1, 0.25, 0.2, 0.08, 0.02};
  const std::vector<Guess> guesses{class_guess(shares, 5), class_guess(shares, 0), class_guess(shares, 6),
                                   class_guess(shares, 1)};
  EXPECT_EQ(classification_scores(guesses, 7).at("top5"), 0.5);
}

}  // namespace
}  // namespace interlock
