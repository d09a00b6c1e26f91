// Owns the costs of RoBERTa's parts.
#include "models/roberta_costs.h"

#include <algorithm>

#include "models/blocks/heads.h"
#include "models/blocks/reconstruction.h"

namespace interlock {
namespace {

// Classifier and copies of it: two products on a row per sample, whose dropouts keep a byte per number; small beside
// any block.
Costs classifier_costs(const RobertaSettings& settings, int64_t samples, bool trained) {
  const int64_t width = settings.block.width, mask = settings.block.dropout > 0 ? 2 * width : 0;
  const int64_t rows_kept = settings.block.dropout > 0 ? 3 : 2;  // what both products take, and tanh gives
  const Numbers& numbers = settings.block.numbers;
  const double product = 2.0 * static_cast<double>(samples * width * (width + settings.classes));
  Costs costs;
  costs.forward_flops = costs.input_gradient_flops = costs.weight_gradient_flops = product;
  costs.parameters = width * (width + 1) + settings.classes * (width + 1);
  costs.activation_bytes = samples * ((rows_kept * width + settings.classes) * numbers.hidden_bytes() + mask);
  costs.product_copy_bytes = costs.parameters * numbers.copy_bytes();
  costs.working_bytes = 2 * samples * width * numbers.hidden_bytes();  // the gradients at both sides of a dropout
  if (trained) return costs;
  costs.weight_gradient_flops = 0;
  costs.copied = costs.parameters;
  costs.parameters = costs.product_copy_bytes = 0;
  return costs;
}

// The dense layer, GELU, norm and decoder on the predicted rows. As a copy of another stage's, which is not trained, it
// keeps no input of a linear layer, and each product makes its own copy of the weights in its type.
Costs decoder_costs(const RobertaSettings& settings, int64_t samples, bool trained) {
  const int64_t width = settings.block.width;
  const Numbers& numbers = settings.block.numbers;
  const double rows = settings.predicted_rows(samples);
  Costs costs = linear_head_costs(width, settings.vocabulary, rows, numbers);
  const double dense = 2 * rows * static_cast<double>(width * width);
  costs.forward_flops += dense;
  costs.input_gradient_flops += dense;
  costs.weight_gradient_flops += dense;
  costs.parameters += width * (width + 1);
  costs.product_copy_bytes += width * (width + 1) * numbers.copy_bytes();
  const auto of_widths = [&](int64_t widths) {
    return static_cast<int64_t>(rows * static_cast<double>(widths * width * numbers.hidden_bytes()));
  };
  if (trained) {
    costs.activation_bytes += of_widths(2);  // the rows themselves, and what GELU takes
    return costs;
  }
  costs.weight_gradient_flops = 0;
  costs.copied = costs.parameters;
  costs.parameters = costs.product_copy_bytes = 0;
  // In forward: the rows, and what the decoder takes.
  costs.working_bytes = width * settings.vocabulary * numbers.copy_bytes() + of_widths(2);
  return costs;
}

// Of a pre-norm network with the norm behind its last block, which keeps its rows, their mean and deviation.
Costs reading_costs(const RobertaSettings& settings, int64_t samples, bool trained) {
  const bool decodes = settings.objective == Objective::masked;
  Costs costs = decodes ? decoder_costs(settings, samples, trained) : classifier_costs(settings, samples, trained);
  if (!settings.pre_norm()) return costs;
  const int64_t width = settings.block.width;
  const Numbers& numbers = settings.block.numbers;
  const double rows = decodes ? settings.predicted_rows(samples) : static_cast<double>(samples);
  const int64_t per_row = width * numbers.hidden_bytes() + 2 * numbers.parameter_bytes();
  costs.activation_bytes += static_cast<int64_t>(rows * static_cast<double>(per_row));
  (trained ? costs.parameters : costs.copied) += 2 * width;
  return costs;
}

}  // namespace

// Look-ups cost no product; saved are the norm's input, mean and deviation, and a dropout mask.
Costs roberta_embedding_costs(const RobertaSettings& settings, int64_t samples) {
  const int64_t width = settings.block.width, number = settings.block.numbers.parameter_bytes();
  const int64_t mask = settings.block.dropout > 0 ? width : 0;
  Costs costs;
  costs.parameters = (settings.vocabulary + settings.max_length + 2 + settings.token_types + 2) * width;
  costs.activation_bytes = samples * settings.length * ((width + 2) * number + mask);
  // The gradients on both sides of the norm; and, of the table of positions alone, one as large as the table, which is
  // not looked up where nothing is padded. That of the words is added row by row.
  const int64_t row = samples * settings.length * width * number;
  const int64_t positions = (settings.max_length + 2) * width * number;
  costs.working_bytes = costs.kept_working_bytes = std::max(2 * row, row + positions);
  costs.recorded_bytes = row + positions + 3 * width * number;
  costs.forward_working_bytes = 3 * row;  // the words, their sum with the places, and the norm's result
  return costs;
}

Costs roberta_block_costs(const RobertaSettings& settings, int64_t samples, Part part) {
  return transformer_costs(settings.block, samples, settings.length, part);
}

Costs roberta_readout_costs(const RobertaSettings& settings, int64_t samples) {
  return reading_costs(settings, samples, true);
}

Costs roberta_head_costs(const RobertaSettings& settings, const std::string& kind, int64_t samples) {
  const Numbers& numbers = settings.block.numbers;
  if (kind == "reconstruction") return reconstruction_costs(settings.block.width, samples * settings.length, numbers);
  const bool shared = kind == "shared_readout";
  const Costs costs =
      shared ? reading_costs(settings, samples, false)
             : linear_head_costs(settings.block.width, settings.classes, settings.predicted_rows(samples), numbers);
  if (kind == "linear") return costs;
  return costs_above_a_block(costs, settings.block, samples, settings.length);
}

}  // namespace interlock
