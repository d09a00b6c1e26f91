#pragma once
// Batches of labelled texts: tokens padded to the longest of them, and a class or a score each.

#include <span>

#include "runtime/data/labelled/labelled_texts.h"

namespace interlock {

// How wide a batch is whose longest sample has `longest` tokens: the next multiple of 8, at most `most`. Products of
// ever new sizes would each be compiled by oneDNN and kept.
int64_t padded_width(int64_t longest, int64_t most);

struct LabelledBatchShape {
  int64_t most = 0, pad = 0;  // tokens of a sample at most; the token behind shorter ones
  Objective objective = Objective::classification;
};
// `samples` by their place in the files, `ids` the numbers they go by in the run. Targets: int64 classes or float
// scores [samples]; not to be asked for of rows without labels.
Batch labelled_batch(const LabelledTexts& texts, Split split, std::span<const int64_t> samples,
                     std::span<const int64_t> ids, const LabelledBatchShape& shape, BatchParts parts);

}  // namespace interlock
