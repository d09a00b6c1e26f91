#pragma once
// The local head of LoPT (arXiv 2605.04913): a slice learns to keep what it was given. Its loss is the squared distance
// between what a small decoder makes of the slice's output and what the first unit of the slice took in.

#include <memory>
#include <string>

#include "models/blocks/layers.h"
#include "models/blocks/numbers.h"
#include "models/costs.h"

namespace interlock {

// `path`.norm, `path`.down [width / 4, width], `path`.up [width, width / 4]: norm - down - GELU - up, over the tokens
// of the text. Start values as theirs: Xavier with gain 0.1, biases 0; and their factor of 10 on the loss.
class ReconstructionHead : public Head {
 public:
  ReconstructionHead(const std::string& path, int64_t width, at::ScalarType type, uint64_t seed);
  bool reads_features() const override { return true; }
  // 10 times the mean over a sample's tokens and their numbers, summed over samples as if each predicted as many
  // targets as the batch has on average: so it weighs the same whatever is predicted.
  LossSum loss(const at::Tensor& hidden, const ForwardContext& context) override;
  // What it makes of the hidden state: [samples * length, width], the features that it believes in.
  at::Tensor scores(const at::Tensor& hidden, const ForwardContext& context) override;

 private:
  std::shared_ptr<LayerNorm> norm_;
  std::shared_ptr<Linear> down_, up_;
};

// On `rows` tokens.
Costs reconstruction_costs(int64_t width, int64_t rows, const Numbers& numbers);

}  // namespace interlock
