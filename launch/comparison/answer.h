#pragma once
// The question and its answer in sentences made of the numbers.

#include <string>
#include <vector>

#include "launch/comparison/outcome.h"

namespace interlock {

std::string question_of(const Outcome& outcome);
// Three: quality, time of a step, and time to a loss. At the most stages that were compared.
std::vector<std::string> answer_of(const Outcome& outcome);
std::string verdict_words(SeedVerdict verdict);
std::string p_text(const std::optional<double>& p);  // "0.031", "< 0.0001", "-"

}  // namespace interlock
