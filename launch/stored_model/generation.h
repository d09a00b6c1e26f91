#pragma once
// Continuing texts, token by token, with a cache of keys and values.

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "launch/stored_model/model_source.h"

namespace interlock {

struct Sampling {
  int64_t tokens = 100;      // new ones at most
  double temperature = 0.8;  // 0: always the likeliest
  int64_t top_k = 40;        // of the likeliest so many; 0: of all
  double top_p = 1;          // of the likeliest that together have this probability
  uint64_t seed = 1;         // draws depend on it, the number of the prompt and the number of the token alone
};

struct Continuation {
  std::vector<int64_t> tokens;  // the prompt's, and behind them the new ones
  int64_t of_prompt = 0;
  std::string text;    // of all of them, without special tokens
  bool ended = false;  // with the end of the document; else there are as many as asked for, or as the model reads
};

// Prompts of any lengths, several at a time. An empty prompt begins a document. Error(usage) for one that leaves no
// room for a token, or is not UTF-8; Error(bad_input) for weights whose scores are no numbers. `progress` is told how
// many tokens are done, of how many at most, those that an early end leaves out among them; it may throw.
std::vector<Continuation> continue_texts(const TextModel& source, const LoadedModel& model,
                                         const std::vector<std::string>& prompts, const Sampling& sampling,
                                         const std::function<void(int64_t done, int64_t all)>& progress);

// Which token follows scores `logits` [vocabulary] of any type, with one draw from (0, 1).
int64_t sample_token(const at::Tensor& logits, const Sampling& sampling, double draw);

}  // namespace interlock
