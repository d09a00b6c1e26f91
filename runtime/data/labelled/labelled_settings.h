#pragma once
// The keys of [data] for "labelled".

#include "runtime/data/labelled/labelled_texts.h"

namespace interlock {

inline constexpr int64_t usual_labelled_length = 128;  // data.sequence_length when it is not set

struct LabelledSettings {
  LabelledRequest request;
  std::string tokenizer_path;  // "": texts are read as bytes
  bool training = true;        // or only to evaluate

  // Error(config).
  static LabelledSettings from(const DatasetSettings& settings);
  // Before any file is read: whether the settings say what to read. Error(config).
  void require(const Section& data) const;
  SampleContent content() const { return tokenizer_path.empty() ? SampleContent::bytes : SampleContent::tokens; }
};

}  // namespace interlock
