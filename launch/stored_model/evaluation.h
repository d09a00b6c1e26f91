#pragma once
// How well a model predicts the masked places of a text, or the next token. The same number, bit for bit, however many
// processes and threads share the work: samples are computed in batches that depend on nothing else, each by one
// thread, and their results are added in the order of the samples.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "launch/stored_model/model_source.h"
#include "runtime/data/dataset.h"

namespace interlock {

// The held-out split of the dataset that `source` was trained on, with other files: texts, or token files (prefixes, or
// names of their files); none: as the run held it out, where its config says. Texts for a model of tokens are encoded.
// Masks and the order of samples follow from `seed`. It is open. `between_files` may throw; nothing temporary is left
// then.
std::shared_ptr<const Dataset> evaluation_data(const TextModel& source, const std::vector<std::string>& files,
                                               uint64_t seed, const std::function<void()>& between_files);

struct BatchResult {
  double loss = 0;  // the sum over targets
  int64_t targets = 0, right = 0;
  int64_t among_five = 0;  // of targets that are one per sample: the true class is among the five that score highest
  int64_t tokens = 0;      // without padding
  int64_t bytes = 0;       // of text that the targets stand for; of causal models
};

// Samples 0 .. count - 1 in batches of evaluation_batch(length) samples.
int64_t evaluation_batch(int64_t sample_length);
// As that, and fewer samples where these are images.
int64_t evaluation_batch(const Dataset& dataset);
// The results of batches first, first + stride, ... on `threads` threads; `progress` is told now and then,
// on the calling thread, how many of them are done.
std::vector<BatchResult> evaluate_batches(const LoadedModel& model, const Dataset& dataset, int64_t count,
                                          int64_t first, int64_t stride, int threads,
                                          const std::function<void(int64_t)>& progress,
                                          const std::vector<int64_t>& bytes_of_tokens = {});
// Of each token of the vocabulary how many bytes of a text it stands for, special ones for none; empty unless the model
// is causal, so that its targets are the whole text.
std::vector<int64_t> bytes_of_tokens(const TextModel& source);

}  // namespace interlock
