#pragma once
// What other trainers call the keys of a run: somebody who writes `lr` is told of optimizer.learning_rate.

#include <string>

namespace interlock {

// The key that a word of another tool's most likely means, as `optimizer.learning_rate`, with a note in brackets where
// it does not count the same: `run.steps (...)`. "_" and "-" are alike, a section before the word is passed over.
// "": none is known.
std::string likely_key(const std::string& word);

}  // namespace interlock
