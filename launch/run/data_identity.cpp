#include "launch/run/data_identity.h"

#include <ATen/core/Tensor.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "runtime/data/tokenizer.h"
#include "runtime/storage/sha256.h"

namespace interlock {
namespace {

constexpr const char* samples_state = "data.samples";
constexpr const char* digest_state = "data.digest";

}  // namespace

// Of samples spread over the first epoch: a corpus of other texts differs in nearly every one of them.
std::string digest_of_samples(const Dataset& dataset, Split split) {
  constexpr int64_t looked_at = 16;
  const int64_t samples = dataset.samples(split);
  std::set<int64_t> numbers;
  for (int64_t i = 0; i < looked_at && samples > 0; ++i) numbers.insert(i * (samples - 1) / (looked_at - 1));
  Sha256 digest;
  for (const int64_t number : numbers) {
    const Batch batch = dataset.batch(split, std::span(&number, 1));
    for (const at::Tensor& tensor : {batch.inputs.contiguous(), batch.targets.contiguous()})
      digest.add(std::span(static_cast<const std::byte*>(tensor.const_data_ptr()), tensor.nbytes()));
  }
  return digest.hex();
}

std::string tokenizer_fingerprint(const Dataset& dataset) {
  const auto tokenizer = dataset.tokenizer();
  return tokenizer ? tokenizer->fingerprint() : "";
}

std::string labels_text(const std::vector<std::string>& labels) { return nlohmann::json(labels).dump(); }

std::vector<std::string> stored_labels(const WeightsSet& weights) {
  const auto found = weights.metadata().find(labels_metadata);
  if (found == weights.metadata().end()) return {};
  try {
    return nlohmann::json::parse(found->second).get<std::vector<std::string>>();
  } catch (const nlohmann::json::exception&) {
    throw Error(ExitCode::bad_input,
                message(weights.path(), ": ", labels_metadata, " in its metadata is no list of names"));
  }
}

std::map<std::string, std::string> data_identity(const Dataset& dataset) {
  std::map<std::string, std::string> identity = {
      {samples_state,
       message(dataset.samples(Split::training), " to train on, ", dataset.samples(Split::held_out), " held out")},
      {digest_state, digest_of_samples(dataset, Split::training)}};
  if (std::string tokenizer = tokenizer_fingerprint(dataset); !tokenizer.empty())
    identity[tokenizer_metadata] = std::move(tokenizer);
  if (const auto labels = dataset.labels(); !labels.empty()) identity[labels_metadata] = labels_text(labels);
  return identity;
}

void check_same_data(const RunSettings& settings, const Dataset& dataset, const Checkpoint& checkpoint) {
  const auto& before = checkpoint.manifest().state;
  const auto now = data_identity(dataset);
  const auto differs = [&](const char* name) {
    const auto old = before.find(name), here = now.find(name);
    return old != before.end() && here != now.end() && old->second != here->second;
  };
  const auto refuse = [&](const std::string& what) {
    throw Error(ExitCode::config,
                message(settings.config.file(), ": cannot go on from ", checkpoint.folder(), ": ", what,
                        ". Give it the data of the run, or start anew in another run.folder (run.weights takes over "
                        "the weights)"));
  };
  if (differs(tokenizer_metadata))
    refuse("tokenizer.path holds another tokenizer than the run began with, under which its tokens mean other text");
  if (differs(labels_metadata))
    refuse(message("the data has other classes: ", now.at(labels_metadata), ", while the run has ",
                   before.at(labels_metadata)));
  if (differs(samples_state))
    refuse(message("data.paths and data.validation_paths give other samples: ", now.at(samples_state),
                   ", while the run has ", before.at(samples_state)));
  if (differs(digest_state)) refuse("data.paths holds as many samples as the run has, but with another content");
}

void check_start_tokenizer(const RunSettings& settings, const Dataset& dataset, const WeightsSet& weights) {
  const auto theirs = weights.metadata().find(tokenizer_metadata);
  if (theirs == weights.metadata().end()) return;
  const std::string ours = tokenizer_fingerprint(dataset);
  if (ours.empty() && dataset.content() == SampleContent::bytes)
    throw Error(ExitCode::config, message("run.weights: ", weights.path(), " was trained on a tokenizer's tokens, and ",
                                          "this data is read as bytes; name the tokenizer's folder in tokenizer.path"));
  if (ours.empty() || ours == theirs->second) return;
  const std::string path = settings.config.section("tokenizer").text("path", "");
  throw Error(ExitCode::config, message("run.weights: ", weights.path(),
                                        " was trained with another tokenizer than tokenizer.path = ", path,
                                        " (fingerprint ", theirs->second.substr(0, 12), ", here ", ours.substr(0, 12),
                                        "); start from other weights, or encode the data with the tokenizer of these"));
}

}  // namespace interlock
