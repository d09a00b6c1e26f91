#pragma once
// How good guesses are, in the numbers that benchmarks of classification and regression report. Torch-free.

#include <cstdint>
#include <map>
#include <span>
#include <string>

namespace interlock {

struct Guess {
  double guessed = 0, truth = 0;  // numbers of classes, or scores
  double above = 0;               // how many classes score higher than the true one
};

using Scores = std::map<std::string, double>;  // by name

// "accuracy"; "f1": of two classes that of the second, as GLUE has it, of more the mean over classes; "matthews": the
// correlation of Matthews, of more than two classes Gorodkin's R_K; of more than five classes "top5": how often the
// true one is among the five that score highest. A number that is 0/0 (a class that neither occurs nor is guessed) is
// 0.
Scores classification_scores(std::span<const Guess> guesses, int64_t classes);
// "spearman" (equal values have the mean of their ranks), "pearson", "squared_error" (mean). A correlation with
// something that never changes is 0.
Scores regression_scores(std::span<const Guess> guesses);

// The accuracy of always guessing the class that is the most frequent among these: what every accuracy is to be held
// against. 0 of none.
double majority_share(std::span<const Guess> guesses);

// The names above, and "loss": what a run can choose its best weights by.
bool lower_is_better(const std::string& score);

}  // namespace interlock
