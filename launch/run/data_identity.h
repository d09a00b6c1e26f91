#pragma once
// What a run reads, in a few short texts that a checkpoint keeps: so that going on with other texts, another split or
// another tokenizer under the same names is refused, wherever the files lie by then.

#include <map>
#include <string>
#include <vector>

#include "launch/settings/run_settings.h"
#include "runtime/storage/checkpoint.h"
#include "runtime/storage/weights_set.h"

namespace interlock {

// The metadata of weights that tells the tokenizer they were trained with (Tokenizer::fingerprint).
inline constexpr const char* tokenizer_metadata = "interlock.tokenizer";

// The metadata of weights that tells the names of their classes, by number, as a JSON list.
inline constexpr const char* labels_metadata = "interlock.labels";

// The labels that weights tell; none: they have no classes with names. Error(bad_input) names the weights.
std::vector<std::string> stored_labels(const WeightsSet& weights);
std::string labels_text(const std::vector<std::string>& labels);  // as the metadata has them

// The tokenizer that the ids of the run's data come from (Tokenizer::fingerprint); "" for data without one.
std::string tokenizer_fingerprint(const Dataset& dataset);

// The SHA-256 of a few samples, spread over the split. `dataset` is open.
std::string digest_of_samples(const Dataset& dataset, Split split);

// Names of a checkpoint's state and their values: the tokenizer, how many samples each split has, and the SHA-256 of a
// few samples. `dataset` is open.
std::map<std::string, std::string> data_identity(const Dataset& dataset);

// Error(config) says what is another than when the checkpoint was written. What a checkpoint does not say is not asked.
void check_same_data(const RunSettings& settings, const Dataset& dataset, const Checkpoint& checkpoint);

// Error(config) when the weights that run.weights names were trained with another tokenizer than the run reads its data
// with: their rows would stand for other tokens. Weights that say nothing of a tokenizer pass, and data whose tokenizer
// is not there: opening it says so.
void check_start_tokenizer(const RunSettings& settings, const Dataset& dataset, const WeightsSet& weights);

}  // namespace interlock
