#pragma once
// A source of examples: a pure function of (seed, split, sample number). Nothing is stored between calls, so every rank
// that needs inputs or targets computes them itself and all agree. One dataset per file in datasets/, registered by
// name.

#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "runtime/core/config.h"
#include "runtime/core/registry.h"
#include "runtime/data/batch.h"
#include "runtime/data/image_shape.h"
#include "runtime/data/objective.h"

namespace interlock {

class Tokenizer;

enum class Split { training, held_out };

// What a sample is made of: numbers, the bytes of a text, or a tokenizer's tokens of one.
enum class SampleContent { numbers, bytes, tokens };

class Dataset {
 public:
  virtual ~Dataset() = default;
  // Finds and maps its files; called once before samples, batch, predicted and unigram_baseline. The constructor reads
  // settings only, so that a plan can be made where the data is not. Error(bad_input) names the path.
  virtual void open() {}
  // How many samples a split has: one epoch of training, or all that is held out.
  virtual int64_t samples(Split split) const = 0;
  // The samples with these global numbers. Training: number n is sample permuted(n % samples) of epoch n / samples.
  // Held out: number n is sample n, with masks that never change. What `parts` leaves out is not made, and what is made
  // is the same to the bit. May be called from several threads, as all that follows open().
  virtual Batch batch(Split split, std::span<const int64_t> numbers, BatchParts parts = {}) const = 0;
  // How many targets those samples predict, without building them.
  virtual int64_t predicted(Split split, std::span<const int64_t> numbers) const = 0;
  // Size of the vocabulary (or number of classes; 1 for scores) the targets come from, and of the inputs (features;
  // tokens: the vocabulary). 0 while it is not known: before open(), when the tokenizer, or the file that shows the
  // classes, is not where the settings say, or not looked at yet.
  virtual int64_t classes() const = 0;
  virtual int64_t features() const = 0;
  // Of images: how the features of a sample stand in its row. Known before open().
  virtual ImageShape image() const { return {}; }
  // Tokens (or features' samples) in one sample at most: what throughput counts. Text: sequence_length; else 1.
  virtual int64_t sample_length() const = 0;
  // Of samples of unequal length: batches are padded to their longest sample. The tokens of a sample, and the width of
  // the batch of those samples: sample_length() unless lengths vary.
  virtual bool varies_in_length() const { return false; }
  virtual int64_t length(Split, int64_t /*number*/) const { return sample_length(); }
  virtual int64_t padded_length(Split, std::span<const int64_t> /*numbers*/) const { return sample_length(); }
  // What is predicted, which a model has a readout for.
  virtual Objective objective() const { return Objective::masked; }
  // The names of classes, by number; none: classes have no names, or they are not known before open().
  virtual std::vector<std::string> labels() const { return {}; }
  // The keys of [data] that name the files of the held-out split where only that is asked for, in the order in which
  // people give them; none: it cannot be given others so.
  virtual std::vector<std::string> evaluation_keys() const { return {}; }
  // What people should know about the data, a sentence each; once open.
  virtual std::vector<std::string> notes() const { return {}; }
  virtual SampleContent content() const { return SampleContent::numbers; }
  // What throughput counts, for people.
  const char* unit() const { return content() == SampleContent::numbers ? "samples" : "tokens"; }
  // Of tokens: what made them. Null while it is not known: before open(), when it is not where the settings say.
  virtual std::shared_ptr<const Tokenizer> tokenizer() const { return nullptr; }
  // The share of those tokens that is predicted, for the cost of readouts.
  virtual double predicted_share() const { return 1.0; }
  // The token that stands in masked places of the inputs; -1: no place is masked.
  virtual int64_t mask_token() const { return -1; }
  // Mean loss in nats per target of the best constant prediction (unigram frequencies of the training split), scored on
  // the targets of held-out samples 0..count-1.
  virtual double unigram_baseline(int64_t count) const = 0;
  // One sample for people: text with masked places marked, or the numbers.
  virtual std::string describe(const Batch& batch, int64_t row) const = 0;
};

struct DatasetSettings {
  Section data;       // [data]
  Section objective;  // [objective]
  Section tokenizer;  // [tokenizer]
  uint64_t seed = 1;
  // false: only the held-out split is asked for. Then data.paths may be empty, and data.validation_paths of any length.
  bool training = true;
  // false: the constructor looks at no file, not even at the tokenizer.
  bool looks_at_files = true;
};

using Datasets = Registry<Dataset, const DatasetSettings&>;

}  // namespace interlock
