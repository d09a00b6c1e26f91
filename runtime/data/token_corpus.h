#pragma once
// The samples of several token files: their split into a training and a held-out part, and the draw between files.

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "runtime/data/dataset.h"
#include "runtime/data/packing.h"
#include "runtime/data/sample_order.h"

namespace interlock {

struct TokenRequest {
  std::vector<std::string> paths, validation_paths;  // prefixes of token files; without paths only to evaluate
  std::vector<double> weights;                       // one per path; empty: every sample once per epoch
  double held_out = 0.05;
  PackingRules packing;
  uint64_t seed = 1;
};

// How many of 2^16 sample numbers each weight gets: its share of them, rounded by largest remainders, and at least one
// where it is not 0. The weights are not negative and not all 0.
std::vector<int64_t> shares_of_block(const std::vector<double>& weights);
inline constexpr int64_t share_block = 1 << 16;

class TokenCorpus {
 public:
  // Held out are documents by a hash of their ids; when that leaves a side empty (one document, a few documents), the
  // last `held_out` share of the samples instead. No sample crosses from one file to the next.
  TokenCorpus(const TokenRequest& request, const Tokenizer& tokenizer);

  int64_t samples(Split split) const { return part(split).samples; }
  // Where sample number `number` is found. With weights, each 2^16 training numbers hold as many samples of a file as
  // its weight says, at keyed places that repeat, and the samples of a file come once per epoch of that file.
  SamplePlace find(Split split, int64_t number) const;
  int64_t predictable(Split split, int64_t sample) const;
  int64_t tokens(Split split, int64_t sample) const;  // separators included
  // Writes the tokens of a sample; returns how many. (Of a stream: see PackedSamples::read.)
  int64_t read(Split split, int64_t sample, std::span<int32_t> out) const;

 private:
  struct Piece {  // neighbouring samples of one file
    std::shared_ptr<const PackedSamples> packed;
    int64_t begin, count;  // of the packed samples
    int64_t first;         // the number of the first in the part
  };
  struct Part {
    std::vector<Piece> pieces;  // of the training part: one per path
    int64_t samples = 0;
    void add(std::shared_ptr<const PackedSamples> packed, int64_t begin, int64_t count);
  };

  void split_tail(const std::vector<std::shared_ptr<const PackedSamples>>& all, double held_out);
  void check_weights(const TokenRequest& request) const;
  void take_turns(const std::vector<double>& weights);
  const Part& part(Split split) const { return split == Split::training ? training_ : held_out_; }
  const Piece& piece_of(Split split, int64_t sample) const;

  uint64_t seed_;
  Part training_, held_out_;
  std::vector<int64_t> shares_;  // per path; empty: no weights
  struct Turn {
    uint16_t path, rank;  // which path a number of a block draws from, and how often it came before in the block
  };
  std::vector<Turn> turns_;
};

}  // namespace interlock
