#pragma once
// The bytes of a corpus, cut into samples and split into a training and a held-out part. Files are mapped, never
// loaded.

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "runtime/data/corpus_files.h"
#include "runtime/data/dataset.h"
#include "runtime/data/file_cache.h"

namespace interlock {

struct CorpusRequest {
  std::vector<std::string> paths, validation_paths;
  double held_out = 0.05;
  int64_t sample_bytes = 62;  // of a whole sample; the last of a file may be shorter
  bool framed = true;         // in <s> and </s>, which data.sequence_length counts
};

// How a file of `chunks` samples is shared: chunks below `cut` are for training, the others are held out.
struct FileCut {
  int64_t chunks = 0, cut = 0;
};

// Held out are files whose content hashes (SHA-256, its first 64 bits as a share of 2^64) below `held_out`, so that
// copies of a file land on one side, whatever their names. When a side would be empty, it is the last `held_out` share
// of the bytes instead, cut between samples; copies are then cut alike. `hashes` are in hexadecimal.
std::vector<FileCut> split_corpus(const std::vector<CorpusFile>& files, const std::vector<std::string>& hashes,
                                  double held_out, int64_t sample_bytes);

class TextCorpus {
 public:
  explicit TextCorpus(const CorpusRequest& request);

  int64_t samples(Split split) const { return part(split).samples; }
  int64_t sample_size(Split split, int64_t sample) const { return place(split, sample).size; }
  struct Sample {
    std::span<const std::byte> bytes;
    std::shared_ptr<const MappedFile> file;  // keeps the bytes
  };
  Sample sample(Split split, int64_t sample) const;
  // A part as pieces of files: neighbouring samples of one file, from the first on.
  struct Range {
    size_t file = 0;
    int64_t offset = 0, size = 0;
    bool ends = false;  // with it the file ends
  };
  std::vector<Range> ranges(Split split) const;
  // Bytes of a range from `offset` on, as byte tokens.
  void read(const Range& range, int64_t offset, std::span<int64_t> out) const;
  // How often each byte value occurs in a part; reads all of it.
  std::array<int64_t, 256> byte_counts(Split split) const;

 private:
  struct Piece {  // neighbouring samples of one file
    size_t file;
    int64_t first_chunk, first_sample;
  };
  struct Part {
    std::vector<Piece> pieces;
    int64_t samples = 0;
  };
  struct Place {
    const CorpusFile& file;
    int64_t offset, size;
  };

  void split_by_content(const CorpusRequest& request);
  void take_validation(const CorpusRequest& request);
  void add(Part& part, size_t file, int64_t first_chunk, int64_t chunks);
  const Part& part(Split split) const { return split == Split::training ? training_ : held_out_; }
  Place place(Split split, int64_t sample) const;

  int64_t sample_bytes_;
  std::vector<CorpusFile> files_;
  Part training_, held_out_;
  FileCache cache_;
};

}  // namespace interlock
