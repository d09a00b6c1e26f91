#include "runtime/data/tokens_source.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <filesystem>

#include "runtime/core/error.h"
#include "runtime/data/sample_order.h"

namespace interlock {

TokensSource::TokensSource(const DatasetSettings& settings, PackingRules packing)
    : data_(settings.data), tokenizer_section_(settings.tokenizer), training_(settings.training) {
  request_.paths = data_.texts("paths", {});
  request_.validation_paths = data_.texts("validation_paths", {});
  request_.weights = data_.numbers("weights", {});
  if (training_) {
    check_weights();
  } else {
    request_.weights.clear();
  }
  request_.held_out = read_held_out(data_);
  request_.packing = packing;
  request_.seed = settings.seed;
  tokenizer_path_ = tokenizer_section_.text("path", "");
  // Where the files of a run are not, a plan is made all the same; open() says what is missing.
  if (settings.looks_at_files && !tokenizer_path_.empty() && std::filesystem::exists(tokenizer_path_))
    tokenizer_ = Tokenizer::open(tokenizer_path_);
}

void TokensSource::open() {
  if (tokenizer_path_.empty()) tokenizer_section_.refuse("path", "is needed: the folder of the tokenizer");
  if (training_ && request_.paths.empty())
    data_.refuse("paths", "is needed: token files, each as PREFIX of its .bin and .idx");
  if (!tokenizer_) tokenizer_ = Tokenizer::open(tokenizer_path_);
  check_present("paths", request_.paths, "");
  check_present("validation_paths", request_.validation_paths,
                ", or set data.validation_paths = [] to hold out a share of data.paths");
  corpus_.emplace(request_, *tokenizer_);
}

const TokenCorpus& TokensSource::corpus() const {
  assert(corpus_ && "open() comes first");
  return *corpus_;
}

void TokensSource::check_present(const std::string& key, const std::vector<std::string>& prefixes,
                                 const std::string& else_do) const {
  for (const std::string& prefix : prefixes) {
    std::error_code unknown;
    const std::string ending = std::filesystem::path(prefix).extension().string();
    if (ending == ".idx" || ending == ".bin" || std::filesystem::exists(prefix + ".idx", unknown) || unknown) continue;
    throw Error(
        ExitCode::bad_input,
        message("data.", key, ": there is no token file ", prefix, " (", prefix,
                ".idx and .bin); make it of texts with `interlock tokenize encode --output ", prefix, "`", else_do));
  }
}

void TokensSource::check_weights() const {
  const std::vector<double>& weights = request_.weights;
  if (weights.empty()) return;
  if (weights.size() != request_.paths.size()) {
    data_.refuse("weights", message("has ", weights.size(), " entries for ", request_.paths.size(),
                                    " data.paths; give one for each"));
  }
  double largest = 0;
  for (const double weight : weights) {
    if (!std::isfinite(weight) || weight < 0) data_.refuse("weights", message(weight, " is no weight; 0 is the least"));
    largest = std::max(largest, weight);
  }
  if (largest == 0) data_.refuse("weights", "are all 0: nothing would be left to train on");
  if (weights.size() > 1000) data_.refuse("weights", "are for 1000 paths at most");
}

}  // namespace interlock
