// Owns the costs of RoBERTa's parts.
#include "models/roberta_costs.h"

#include <algorithm>

#include "models/blocks/heads.h"

namespace interlock {
namespace {

double predicted_rows(const RobertaSettings& settings, int64_t samples) {
  return settings.predicted_share * static_cast<double>(samples * settings.length);
}

// The dense layer, GELU, norm and decoder on the predicted rows. As a copy that is not trained it keeps no input of a
// linear layer, and has no gradient of weights.
Costs reading_costs(const RobertaSettings& settings, int64_t samples, bool trained) {
  const int64_t width = settings.block.width;
  const Numbers& numbers = settings.block.numbers;
  const double rows = predicted_rows(settings, samples);
  Costs costs = linear_head_costs(width, settings.vocabulary, rows, numbers);
  const double dense = 2 * rows * static_cast<double>(width * width);
  costs.forward_flops += dense;
  costs.input_gradient_flops += dense;
  costs.weight_gradient_flops += dense;
  costs.parameters += width * (width + 1);
  const auto of_widths = [&](int64_t widths) {
    return static_cast<int64_t>(rows * static_cast<double>(widths * width * numbers.hidden_bytes()));
  };
  if (trained) {
    costs.activation_bytes += of_widths(2);  // the rows themselves, and what GELU takes
    return costs;
  }
  costs.weight_gradient_flops = 0;
  costs.copied = costs.parameters;
  costs.parameters = 0;
  costs.working_bytes = width * settings.vocabulary * numbers.copy_bytes() + of_widths(3);
  return costs;
}

}  // namespace

// Look-ups cost no product; saved are the norm's input, mean and deviation, and a dropout mask.
Costs roberta_embedding_costs(const RobertaSettings& settings, int64_t samples) {
  const int64_t width = settings.block.width, number = settings.block.numbers.parameter_bytes();
  const int64_t mask = settings.block.dropout > 0 ? width : 0;
  Costs costs;
  costs.parameters = (settings.vocabulary + settings.max_length + 2 + 1 + 2) * width;
  costs.activation_bytes = samples * settings.length * ((width + 2) * number + mask);
  // The tables' gradients are as large as the tables, however few rows were looked up.
  costs.working_bytes = std::max(costs.parameters * number, 3 * samples * settings.length * width * number);
  return costs;
}

Costs roberta_block_costs(const RobertaSettings& settings, int64_t samples) {
  return transformer_costs(settings.block, samples, settings.length);
}

Costs roberta_readout_costs(const RobertaSettings& settings, int64_t samples) {
  return reading_costs(settings, samples, true);
}

// The block is walked back after the readout above it: the readout's saved tensors are free by then, the gradients of
// its parameters are kept to the end.
Costs roberta_head_costs(const RobertaSettings& settings, const std::string& kind, int64_t samples) {
  const Numbers& numbers = settings.block.numbers;
  const bool shared = kind == "shared_readout";
  Costs costs =
      shared ? reading_costs(settings, samples, false)
             : linear_head_costs(settings.block.width, settings.vocabulary, predicted_rows(settings, samples), numbers);
  if (kind == "linear") return costs;
  const Costs block = roberta_block_costs(settings, samples);
  const int64_t at_block = transformer_last_pass_bytes(settings.block, samples, settings.length) +
                           costs.parameters * numbers.parameter_bytes() - costs.activation_bytes;
  const int64_t working = std::max(costs.working_bytes, at_block);
  costs += block;
  costs.working_bytes = working;
  return costs;
}

}  // namespace interlock
