#pragma once
// The files of dataset `tokens` whatever is predicted of them: paths, weights, the tokenizer they were made with.

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "runtime/data/dataset.h"
#include "runtime/data/token_corpus.h"
#include "runtime/data/tokenizer.h"

namespace interlock {

class TokensSource {
 public:
  // Reads [data] and [tokenizer], but for the packing.
  TokensSource(const DatasetSettings& settings, PackingRules packing);
  void open();  // see Dataset::open

  // Null while the tokenizer is not where the settings say.
  const std::shared_ptr<const Tokenizer>& tokenizer() const { return tokenizer_; }
  const std::string& tokenizer_path() const { return tokenizer_path_; }
  const PackingRules& packing() const { return request_.packing; }
  const TokenCorpus& corpus() const;

 private:
  void check_present(const std::string& key, const std::vector<std::string>& prefixes,
                     const std::string& else_do) const;
  void check_weights() const;

  Section data_, tokenizer_section_;
  bool training_;  // or only to evaluate
  TokenRequest request_;
  std::string tokenizer_path_;
  std::shared_ptr<const Tokenizer> tokenizer_;
  std::optional<TokenCorpus> corpus_;
};

}  // namespace interlock
