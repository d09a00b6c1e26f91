// Packs the files and shares their samples.

#include "runtime/data/token_corpus.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <filesystem>
#include <numeric>
#include <utility>

#include "runtime/core/error.h"
#include "runtime/core/log.h"
#include "runtime/core/nearest_name.h"
#include "runtime/core/random.h"

namespace interlock {
namespace {

using Packed = std::shared_ptr<const PackedSamples>;

// Keys of sample orders: sites 0 to 2 are taken (shuffled, idx).
constexpr uint64_t weights_site = 3;

int64_t total_samples(const std::vector<Packed>& all) {
  return std::accumulate(all.begin(), all.end(), int64_t{0},
                         [](int64_t sum, const Packed& packed) { return sum + packed->size(); });
}

std::vector<std::shared_ptr<const TokenFile>> open_all(const std::vector<std::string>& paths) {
  std::vector<std::shared_ptr<const TokenFile>> files;
  for (const std::string& path : paths) files.push_back(TokenFile::open(path));
  return files;
}

int64_t tokens_of(const std::vector<std::shared_ptr<const TokenFile>>& files) {
  int64_t tokens = 0;
  for (const auto& file : files) {
    if (__builtin_add_overflow(tokens, file->tokens(), &tokens)) {
      throw Error(ExitCode::bad_input, "data.paths: the files have more tokens than can be counted");
    }
  }
  return tokens;
}

void check_apart(const TokenRequest& request) {
  namespace fs = std::filesystem;
  for (const std::string& path : request.paths) {
    for (const std::string& validation : request.validation_paths) {
      if (fs::weakly_canonical(path) == fs::weakly_canonical(validation)) {
        throw Error(ExitCode::bad_input,
                    message("data.validation_paths: ", validation,
                            " is also in data.paths; what is trained on says nothing when it is evaluated"));
      }
    }
  }
}

}  // namespace

std::vector<int64_t> shares_of_block(const std::vector<double>& weights) {
  const double largest = *std::ranges::max_element(weights);
  double sum = 0;
  for (const double weight : weights) sum += weight / largest;  // a plain sum may not be finite
  std::vector<int64_t> shares;
  std::vector<std::pair<double, size_t>> remainders;
  int64_t given = 0;
  for (size_t i = 0; i < weights.size(); ++i) {
    const double exact = weights[i] / largest / sum * share_block;
    shares.push_back(std::max<int64_t>(static_cast<int64_t>(exact), weights[i] > 0 ? 1 : 0));
    given += shares.back();
    remainders.emplace_back(static_cast<double>(shares.back()) - exact, i);  // the most that is owed comes first
  }
  std::ranges::sort(remainders);
  for (size_t i = 0; given < share_block; ++i, ++given) ++shares[remainders[i].second];
  // Tiny weights that were raised to 1 take from the largest share.
  *std::ranges::max_element(shares) -= given - share_block;
  return shares;
}

void TokenCorpus::Part::add(Packed packed, int64_t begin, int64_t count) {
  pieces.push_back({std::move(packed), begin, count, samples});
  samples += count;
}

TokenCorpus::TokenCorpus(const TokenRequest& request, const Tokenizer& tokenizer) : seed_(request.seed) {
  check_apart(request);
  const auto files = open_all(request.paths), validation = open_all(request.validation_paths);
  const int64_t tokens = tokens_of(files), capacity = request.packing.capacity;
  const bool training_wanted = !request.paths.empty();
  if (training_wanted && tokens < capacity) {
    throw Error(ExitCode::bad_input,
                message("data.paths: the corpus has ", tokens, " tokens, one sequence takes ", capacity,
                        request.packing.stream ? "" : " (data.sequence_length - 2)", ": ", join(request.paths)));
  }
  std::vector<Packed> training, held;
  for (const auto& file : files) {
    PackedFile packed = pack(file, tokenizer, request.packing, validation.empty() ? request.held_out : 0);
    training.push_back(std::make_shared<const PackedSamples>(std::move(packed.training)));
    held.push_back(std::make_shared<const PackedSamples>(std::move(packed.held_out)));
  }
  for (const auto& file : validation) {
    held.push_back(std::make_shared<const PackedSamples>(pack(file, tokenizer, request.packing, 0).training));
  }
  if (!validation.empty() && total_samples(held) == 0) {
    throw Error(ExitCode::bad_input, "data.validation_paths: no tokens found in " + join(request.validation_paths));
  }
  if (training_wanted && total_samples(training) == 0) {
    split_tail(held, request.held_out);
  } else if (total_samples(held) == 0) {
    split_tail(training, request.held_out);
  } else {
    for (const Packed& packed : training) training_.add(packed, 0, packed->size());
    for (const Packed& packed : held) held_out_.add(packed, 0, packed->size());
  }
  if (validation.empty() && held_out_.samples == 0 && request.held_out > 0) {
    log_warning("the corpus is a single sample: nothing of it is held out for evaluation");
  }
  check_weights(request);
  if (!request.weights.empty()) take_turns(request.weights);
}

void TokenCorpus::split_tail(const std::vector<Packed>& all, double held_out) {
  const int64_t samples = total_samples(all);
  int64_t left = samples - held_out_count(held_out, samples);  // for training
  for (const Packed& packed : all) {
    const int64_t count = std::min(left, packed->size());
    training_.add(packed, 0, count);
    held_out_.add(packed, count, packed->size() - count);
    left -= count;
  }
}

void TokenCorpus::check_weights(const TokenRequest& request) const {
  if (request.weights.empty()) return;
  assert(request.weights.size() == request.paths.size());
  for (size_t i = 0; i < request.weights.size(); ++i) {
    if (request.weights[i] > 0 && training_.pieces[i].count == 0) {
      throw Error(ExitCode::bad_input, message("data.weights: ", request.paths[i], " has the weight ",
                                               request.weights[i], ", but nothing of it is left to train on"));
    }
  }
}

void TokenCorpus::take_turns(const std::vector<double>& weights) {
  shares_ = shares_of_block(weights);
  const RandomKey key = random_key(seed_, Purpose::sample_order, 0, 0, weights_site);
  std::vector<int64_t> ends(shares_.size()), seen(shares_.size());
  std::partial_sum(shares_.begin(), shares_.end(), ends.begin());
  for (uint64_t number = 0; number < share_block; ++number) {
    const auto place = static_cast<int64_t>(permuted(key, number, share_block));
    const auto path = static_cast<size_t>(std::ranges::upper_bound(ends, place) - ends.begin());
    turns_.push_back({static_cast<uint16_t>(path), static_cast<uint16_t>(seen[path]++)});
  }
}

SamplePlace TokenCorpus::find(Split split, int64_t number) const {
  if (split == Split::held_out || shares_.empty()) return shuffled(seed_, split, number, samples(split));
  const Turn turn = turns_[static_cast<size_t>(number % share_block)];
  const Piece& piece = training_.pieces[turn.path];
  const int64_t in_file = number / share_block * shares_[turn.path] + turn.rank;
  SamplePlace found = shuffled(seed_, split, in_file, piece.count, turn.path + 1u);
  found.sample += piece.first;
  return found;
}

const TokenCorpus::Piece& TokenCorpus::piece_of(Split split, int64_t sample) const {
  const Part& whole = part(split);
  assert(sample >= 0 && sample < whole.samples);
  const auto after = std::ranges::upper_bound(whole.pieces, sample, {}, &Piece::first);
  return *std::prev(after);  // of pieces with the same first number, only the last has samples
}

int64_t TokenCorpus::predictable(Split split, int64_t sample) const {
  const Piece& piece = piece_of(split, sample);
  return piece.packed->predictable(piece.begin + sample - piece.first);
}

int64_t TokenCorpus::tokens(Split split, int64_t sample) const {
  const Piece& piece = piece_of(split, sample);
  return piece.packed->tokens(piece.begin + sample - piece.first);
}

int64_t TokenCorpus::read(Split split, int64_t sample, std::span<int32_t> out) const {
  const Piece& piece = piece_of(split, sample);
  return piece.packed->read(piece.begin + sample - piece.first, out);
}

}  // namespace interlock
