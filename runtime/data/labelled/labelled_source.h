#pragma once
// What the datasets over labelled texts share: settings, the tokenizer, the texts once they are open.

#include <memory>
#include <optional>

#include "runtime/data/labelled/labelled_settings.h"

namespace interlock {

class LabelledSource {
 public:
  explicit LabelledSource(const DatasetSettings& settings);
  void open();

  const LabelledSettings& settings() const { return settings_; }
  const TextEncoder& encoder() const { return *encoder_; }
  bool has_encoder() const { return encoder_.has_value(); }  // else the tokenizer is not where the settings say
  const LabelledTexts& texts() const { return *texts_; }
  bool is_open() const { return texts_.has_value(); }
  // By number. Before open() as the settings name them, or else as the training files show them, where these may be
  // looked at; none: not known.
  const std::vector<std::string>& classes() const;

 private:
  void take_tokenizer();

  Section data_;
  LabelledSettings settings_;
  bool looks_at_files_;
  std::optional<TextEncoder> encoder_;
  std::optional<LabelledTexts> texts_;
  mutable std::optional<LabelSet> in_files_;  // once looked for
};

}  // namespace interlock
