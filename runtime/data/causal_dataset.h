#pragma once
// What datasets share whose model continues texts: a stream of documents, each followed by its end, in samples of equal
// length. A sample's targets are its tokens; its inputs are the same shifted by one, so that each token of the stream
// is predicted once, the first of a document from the end of the one before. A dataset says which tokens a sample has.

#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "runtime/data/dataset.h"
#include "runtime/data/sample_order.h"

namespace interlock {

class CausalDataset : public Dataset {
 public:
  // objective.document_mask: attention and positions stay within documents (Batch::positions).
  explicit CausalDataset(const DatasetSettings& settings, int64_t usual_length = 64);

  Objective objective() const override { return Objective::causal; }
  int64_t features() const override { return classes(); }
  int64_t sample_length() const override { return length_; }
  Batch batch(Split split, std::span<const int64_t> numbers, BatchParts parts) const override;
  int64_t predicted(Split split, std::span<const int64_t> numbers) const override;
  // Add-one smoothing over the whole vocabulary, ends of documents included.
  double unigram_baseline(int64_t count) const override;
  std::string describe(const Batch& batch, int64_t row) const override;

 protected:
  struct Marks {
    int64_t end, pad;  // what follows a document, and what fills the last sample
  };
  virtual Marks marks() const = 0;
  virtual std::string shown(int64_t token) const = 0;
  // Where number `number` of a split is found.
  virtual SamplePlace find(Split split, int64_t number) const;
  // How many tokens a sample has, at most sample_length(), without reading them.
  virtual int64_t tokens(Split split, int64_t sample) const = 0;
  // Writes the token before a sample, and then those of the sample.
  virtual void read(Split split, int64_t sample, std::span<int64_t> out) const = 0;
  // How often each token occurs in the training part.
  virtual std::vector<int64_t> training_counts() const = 0;

 private:
  void read_whole(Split split, int64_t sample, std::vector<int64_t>& out) const;
  void write_row(const std::vector<int64_t>& tokens, Batch& batch, int64_t row) const;

  uint64_t seed_;
  int64_t length_;
  bool document_mask_;
  mutable std::once_flag counted_;
  mutable std::vector<int64_t> counts_;
};

}  // namespace interlock
