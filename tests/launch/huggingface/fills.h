#pragma once
// What a model says of masked places, beside what transformers say.

#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <string>

#include "tests/support/small_project.h"

namespace interlock {

// Scores of float32 models with weights of 0.1 and inner products of up to 256 of them: transformers and we sum in
// other orders, which is worth some 1e-6 of scores below 10. The bound is the one that users are promised.
inline constexpr double logit_bound = 1e-4;

// `Project`: a SmallProject or one that derives from it.
template <class Project>
class Fills : public Project {
 protected:
  // `expected`: what tests/golden/huggingface/make.py writes; how many masked places there were is returned.
  size_t compare_fills(const std::string& model, const nlohmann::json& expected) const {
    size_t masks = 0;
    const size_t every = expected["every"];  // ids of which they say a log-probability
    for (const nlohmann::json& fill : expected["fills"]) {
      const nlohmann::json ours = fill_all(model, fill["text"]), &theirs = fill["log_probabilities"];
      EXPECT_EQ(ours.size(), theirs.size()) << fill["text"];
      if (ours.size() != theirs.size()) return masks;
      for (size_t mask = 0; mask < ours.size(); ++mask, ++masks) compare_mask(ours[mask], theirs[mask], every);
    }
    return masks;
  }

  // The same of a model of ours, for a script to compare: log-probabilities of all ids.
  nlohmann::json expected_fills(const std::string& model) const {
    nlohmann::json expected = {{"fills", nlohmann::json::array()}};
    for (const std::string text :
         {"alpha <mask> gamma", "beta<mask>, caf\u00e9 \U0001f600 <mask>", "zeta's 12  eta\n<mask>"}) {
      nlohmann::json scores = nlohmann::json::array();
      for (const nlohmann::json& guesses : fill_all(model, text)) {
        scores.push_back(nlohmann::json::array());
        for (size_t i = 0; i < guesses.size(); ++i) scores.back().push_back(0.0);
        for (const nlohmann::json& guess : guesses)
          scores.back()[guess["id"].template get<size_t>()] = std::log(guess["probability"].template get<double>());
      }
      expected["fills"].push_back({{"text", text}, {"log_probabilities", scores}});
    }
    return expected;
  }

 private:
  // Probabilities of all ids at every masked place of a text.
  nlohmann::json fill_all(const std::string& model, const std::string& text) const {
    const CommandResult result = this->interlock({"fill", model, text, "--top", "1000000", "--json"});
    expect_done(result);
    return this->last_object(result)["predictions"];
  }

  static void compare_mask(const nlohmann::json& ours, const nlohmann::json& theirs, size_t every) {
    ASSERT_EQ((ours.size() + every - 1) / every, theirs.size());
    for (const nlohmann::json& guess : ours) {
      const size_t id = guess["id"];
      if (id % every != 0) continue;
      EXPECT_NEAR(std::log(guess["probability"].template get<double>()), theirs[id / every].template get<double>(),
                  logit_bound)
          << "id " << id;
    }
  }
};

}  // namespace interlock
