#pragma once
// What a classification comes to, for people.

#include <optional>
#include <string>

namespace interlock {

struct ClassResult {
  double accuracy = 0, loss = 0;                // loss: nats per sample
  double majority_baseline = 0;                 // the accuracy of always guessing the most frequent class
  std::optional<double> frequencies_loss = {};  // of the best constant prediction, where it is known
};

// Three lines: this model beside the frequencies of the classes alone.
std::string class_table(const std::string& title, const ClassResult& result);

}  // namespace interlock
