#include "runtime/data/held_out_part.h"

#include <ATen/ops/where.h>

#include <numeric>
#include <vector>

#include "runtime/storage/sha256.h"

namespace interlock {
namespace {

// What the model is asked about: masked places hold their tokens again. Labels count as content of numbers; of texts
// the tokens alone do, so that a text lies in one half whatever it is labelled.
bool in_test_half(const Batch& sample, SampleContent kind) {
  at::Tensor content = sample.inputs;
  const bool masked = sample.targets.sizes() == sample.inputs.sizes() && sample.inputs.scalar_type() == at::kLong;
  if (masked) content = at::where(sample.targets.ne(ignored_target), sample.targets, sample.inputs);
  Sha256 digest;
  const auto add = [&](const at::Tensor& tensor) {
    const at::Tensor whole = tensor.contiguous();
    digest.add(std::span(static_cast<const std::byte*>(whole.const_data_ptr()), whole.nbytes()));
  };
  add(content);
  if (!masked && kind == SampleContent::numbers) add(sample.targets);
  return std::stoi(digest.hex().substr(0, 1), nullptr, 16) < 8;
}

class PartOfHeldOut final : public Dataset {
 public:
  PartOfHeldOut(std::shared_ptr<Dataset> whole, HeldOutPart part) : whole_(std::move(whole)), part_(part) {}

  void open() override {
    whole_->open();
    for (int64_t number = 0; number < whole_->samples(Split::held_out); ++number)
      if (in_test_half(whole_->batch(Split::held_out, {&number, 1}), whole_->content()) == (part_ == HeldOutPart::test))
        numbers_.push_back(number);
    if (numbers_.empty())
      throw Error(ExitCode::bad_input,
                  message("data.held_out_part: nothing is left of the ", whole_->samples(Split::held_out),
                          " held-out samples in the half for ", part_ == HeldOutPart::test ? "the test" : "validation",
                          "; hold out more (data.held_out), or give data.test_paths"));
  }
  int64_t samples(Split split) const override {
    return split == Split::held_out ? static_cast<int64_t>(numbers_.size()) : whole_->samples(split);
  }
  Batch batch(Split split, std::span<const int64_t> numbers, BatchParts parts) const override {
    return split == Split::held_out ? whole_->batch(split, in_whole(numbers), parts)
                                    : whole_->batch(split, numbers, parts);
  }
  int64_t predicted(Split split, std::span<const int64_t> numbers) const override {
    return split == Split::held_out ? whole_->predicted(split, in_whole(numbers)) : whole_->predicted(split, numbers);
  }
  int64_t classes() const override { return whole_->classes(); }
  int64_t features() const override { return whole_->features(); }
  ImageShape image() const override { return whole_->image(); }
  int64_t sample_length() const override { return whole_->sample_length(); }
  bool varies_in_length() const override { return whole_->varies_in_length(); }
  int64_t length(Split split, int64_t number) const override {
    return split == Split::held_out ? whole_->length(split, in_whole({&number, 1}).front())
                                    : whole_->length(split, number);
  }
  int64_t padded_length(Split split, std::span<const int64_t> numbers) const override {
    return split == Split::held_out ? whole_->padded_length(split, in_whole(numbers))
                                    : whole_->padded_length(split, numbers);
  }
  Objective objective() const override { return whole_->objective(); }
  std::vector<std::string> labels() const override { return whole_->labels(); }
  std::vector<std::string> notes() const override { return whole_->notes(); }
  SampleContent content() const override { return whole_->content(); }
  std::shared_ptr<const Tokenizer> tokenizer() const override { return whole_->tokenizer(); }
  double predicted_share() const override { return whole_->predicted_share(); }
  int64_t mask_token() const override { return whole_->mask_token(); }
  // Of the first held-out samples of both halves: it tells how hard the text is, which no half changes.
  double unigram_baseline(int64_t count) const override { return whole_->unigram_baseline(count); }
  std::string describe(const Batch& batch, int64_t row) const override { return whole_->describe(batch, row); }

 private:
  std::vector<int64_t> in_whole(std::span<const int64_t> numbers) const {
    std::vector<int64_t> found;
    for (const int64_t number : numbers) found.push_back(numbers_[static_cast<size_t>(number)]);
    return found;
  }

  std::shared_ptr<Dataset> whole_;
  HeldOutPart part_;
  std::vector<int64_t> numbers_;  // of the whole held-out split, ascending
};

}  // namespace

std::shared_ptr<Dataset> with_held_out_part(std::shared_ptr<Dataset> dataset, HeldOutPart part) {
  if (part == HeldOutPart::all) return dataset;
  return std::make_shared<PartOfHeldOut>(std::move(dataset), part);
}

HeldOutPart read_held_out_part(const Section& data) {
  if (!data.has("held_out_part")) return HeldOutPart::all;
  const std::string part = data.one_of("held_out_part", "all", {"all", "validation", "test"});
  return part == "test" ? HeldOutPart::test : part == "validation" ? HeldOutPart::validation : HeldOutPart::all;
}

}  // namespace interlock
