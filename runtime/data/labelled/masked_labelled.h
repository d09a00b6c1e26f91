#pragma once
// The texts of tables under the masked objective: labels are not read.

#include <optional>

#include "runtime/data/labelled/labelled_source.h"
#include "runtime/data/labelled/reads_tables.h"
#include "runtime/data/masked_dataset.h"

namespace interlock {

class MaskedLabelled final : public MaskedDataset, public ReadsTables {
 public:
  explicit MaskedLabelled(const DatasetSettings& settings);

  void open() override;
  int64_t samples(Split split) const override { return source_.texts().samples(split); }
  int64_t classes() const override { return source_.has_encoder() ? source_.encoder().vocabulary() : 0; }
  SampleContent content() const override { return source_.settings().content(); }
  std::shared_ptr<const Tokenizer> tokenizer() const override;
  std::vector<std::string> notes() const override { return source_.texts().notes(); }

 protected:
  Vocabulary vocabulary() const override;
  std::string shown(int64_t token) const override { return source_.encoder().shown(token); }
  int64_t predictable(Split split, int64_t sample) const override;
  int64_t tokens(Split split, int64_t sample) const override { return source_.texts().length(split, sample) - 2; }
  int64_t read(Split split, int64_t sample, std::span<int64_t> out) const override;
  std::vector<int64_t> training_counts() const override;

 private:
  void take_masking();

  LabelledSource source_;
  std::optional<MaskVocabulary> masking_;
};

}  // namespace interlock
