// Splits a corpus and finds the bytes of a sample.

#include "runtime/data/text_corpus.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <map>
#include <set>

#include "runtime/core/error.h"
#include "runtime/core/log.h"
#include "runtime/core/nearest_name.h"
#include "runtime/data/byte_tokens.h"
#include "runtime/storage/sha256.h"

namespace interlock {
namespace {

int64_t chunks_of(int64_t bytes, int64_t sample_bytes) { return (bytes + sample_bytes - 1) / sample_bytes; }

std::vector<std::string> content_hashes(const std::vector<CorpusFile>& files) {
  std::vector<std::string> hashes;
  hashes.reserve(files.size());
  for (const CorpusFile& file : files) {
    const MappedFile mapped(file.path);
    Sha256 digest;
    digest.add(mapped.bytes());
    hashes.push_back(digest.hex());
  }
  return hashes;
}

double share_of_hash(const std::string& hex) {
  return static_cast<double>(std::stoull(hex.substr(0, 16), nullptr, 16)) * 0x1p-64;
}

// A content that occurs in `copies` files of the corpus; all of them are cut at one place.
struct Content {
  int64_t bytes = 0, copies = 0;
  FileCut cut;
};

// The last samples of a content that fit into a budget of bytes (over all copies).
int64_t chunks_within(const Content& content, double budget, int64_t sample_bytes) {
  int64_t held = 0, bytes = 0;
  while (held < content.cut.chunks) {
    const int64_t begin = (content.cut.chunks - held - 1) * sample_bytes;
    bytes += std::min(sample_bytes, content.bytes - begin) * content.copies;
    if (bytes > budget) break;
    ++held;
  }
  return held;
}

// Leaves both sides with at least one sample where there are two.
void cut_tail(std::vector<Content>& contents, double budget, int64_t sample_bytes) {
  for (auto content = contents.rbegin(); content != contents.rend(); ++content) {
    const int64_t held = chunks_within(*content, budget, sample_bytes);
    content->cut.cut = content->cut.chunks - held;
    if (content->cut.cut > 0) break;
    budget -= static_cast<double>(content->bytes * content->copies);
  }
  FileCut &first = contents.front().cut, &last = contents.back().cut;
  if (last.cut == last.chunks) --last.cut;
  if (first.cut == 0) first.cut = 1;
}

}  // namespace

std::vector<FileCut> split_corpus(const std::vector<CorpusFile>& files, const std::vector<std::string>& hashes,
                                  double held_out, int64_t sample_bytes) {
  assert(files.size() == hashes.size());
  std::vector<FileCut> cuts;
  size_t held = 0;
  for (size_t i = 0; i < files.size(); ++i) {
    const bool out = share_of_hash(hashes[i]) < held_out;
    held += out;
    const int64_t chunks = chunks_of(files[i].size, sample_bytes);
    cuts.push_back({chunks, out ? 0 : chunks});
  }
  if (held > 0 && held < files.size()) return cuts;

  std::vector<Content> contents;
  std::map<std::string, size_t> known;
  std::vector<size_t> content_of;
  int64_t bytes = 0;
  for (size_t i = 0; i < files.size(); ++i) {
    const auto [found, fresh] = known.emplace(hashes[i], contents.size());
    if (fresh) contents.push_back({files[i].size, 0, {cuts[i].chunks, cuts[i].chunks}});
    contents[found->second].copies++;
    content_of.push_back(found->second);
    bytes += files[i].size;
  }
  cut_tail(contents, held_out * static_cast<double>(bytes), sample_bytes);
  for (size_t i = 0; i < files.size(); ++i) cuts[i] = contents[content_of[i]].cut;
  return cuts;
}

TextCorpus::TextCorpus(const CorpusRequest& request)
    : sample_bytes_(request.sample_bytes),
      files_(request.paths.empty() ? std::vector<CorpusFile>() : find_corpus_files(request.paths, "data.paths")) {
  int64_t bytes = 0;
  for (const CorpusFile& file : files_) bytes += file.size;
  if (!request.paths.empty() && bytes < sample_bytes_) {
    throw Error(ExitCode::bad_input,
                message("data.paths: the corpus has ", bytes, " bytes, one sequence takes ", sample_bytes_,
                        request.framed ? " (data.sequence_length - 2): " : ": ", join(request.paths)));
  }
  if (!request.validation_paths.empty()) {
    take_validation(request);
  } else if (request.held_out > 0) {
    split_by_content(request);
  } else {
    for (size_t i = 0; i < files_.size(); ++i) add(training_, i, 0, chunks_of(files_[i].size, sample_bytes_));
  }
}

void TextCorpus::split_by_content(const CorpusRequest& request) {
  const auto cuts = split_corpus(files_, content_hashes(files_), request.held_out, sample_bytes_);
  for (size_t i = 0; i < files_.size(); ++i) {
    add(training_, i, 0, cuts[i].cut);
    add(held_out_, i, cuts[i].cut, cuts[i].chunks - cuts[i].cut);
  }
  if (held_out_.samples == 0) log_warning("the corpus is a single sample: nothing of it is held out for evaluation");
}

void TextCorpus::take_validation(const CorpusRequest& request) {
  std::vector<CorpusFile> validation = find_corpus_files(request.validation_paths, "data.validation_paths");
  const auto validation_hashes = content_hashes(validation), hashes = content_hashes(files_);
  const std::set<std::string> held(validation_hashes.begin(), validation_hashes.end());
  size_t left_out = 0;
  for (size_t i = 0; i < files_.size(); ++i) {
    if (held.contains(hashes[i])) {
      ++left_out;  // a folder may hold its own validation file
    } else {
      add(training_, i, 0, chunks_of(files_[i].size, sample_bytes_));
    }
  }
  if (training_.samples == 0 && !request.paths.empty()) {
    throw Error(ExitCode::bad_input,
                "data.paths: every file is also in data.validation_paths, nothing is left to train on");
  }
  if (left_out > 0)
    log_info(message(left_out, " files of data.paths are also in data.validation_paths: not trained on"));
  for (CorpusFile& file : validation) {
    files_.push_back(std::move(file));
    add(held_out_, files_.size() - 1, 0, chunks_of(files_.back().size, sample_bytes_));
  }
}

void TextCorpus::add(Part& part, size_t file, int64_t first_chunk, int64_t chunks) {
  if (chunks == 0) return;
  part.pieces.push_back({file, first_chunk, part.samples});
  part.samples += chunks;
}

TextCorpus::Place TextCorpus::place(Split split, int64_t sample) const {
  const Part& whole = part(split);
  assert(sample >= 0 && sample < whole.samples);
  const auto after = std::upper_bound(whole.pieces.begin(), whole.pieces.end(), sample,
                                      [](int64_t number, const Piece& piece) { return number < piece.first_sample; });
  const Piece& piece = *std::prev(after);
  const CorpusFile& file = files_[piece.file];
  const int64_t offset = (piece.first_chunk + sample - piece.first_sample) * sample_bytes_;
  return {file, offset, std::min(sample_bytes_, file.size - offset)};
}

TextCorpus::Sample TextCorpus::sample(Split split, int64_t sample) const {
  const Place where = place(split, sample);
  auto file = cache_.get(where.file);
  const auto bytes = file->bytes().subspan(static_cast<size_t>(where.offset), static_cast<size_t>(where.size));
  return {bytes, std::move(file)};
}

std::vector<TextCorpus::Range> TextCorpus::ranges(Split split) const {
  const Part& whole = part(split);
  std::vector<Range> ranges;
  for (size_t p = 0; p < whole.pieces.size(); ++p) {
    const Piece& piece = whole.pieces[p];
    const int64_t next = p + 1 < whole.pieces.size() ? whole.pieces[p + 1].first_sample : whole.samples;
    const int64_t size = files_[piece.file].size, begin = piece.first_chunk * sample_bytes_,
                  end = std::min(size, begin + (next - piece.first_sample) * sample_bytes_);
    ranges.push_back({piece.file, begin, end - begin, end == size});
  }
  return ranges;
}

void TextCorpus::read(const Range& range, int64_t offset, std::span<int64_t> out) const {
  const auto mapped = cache_.get(files_[range.file]);
  const auto bytes = mapped->bytes().subspan(static_cast<size_t>(range.offset + offset), out.size());
  std::ranges::transform(bytes, out.begin(),
                         [](std::byte byte) { return byte_tokens::of_byte(std::to_integer<uint8_t>(byte)); });
}

std::array<int64_t, 256> TextCorpus::byte_counts(Split split) const {
  std::array<int64_t, 256> counts = {};
  for (const Range& range : ranges(split)) {
    const auto mapped = cache_.get(files_[range.file]);
    for (const std::byte byte :
         mapped->bytes().subspan(static_cast<size_t>(range.offset), static_cast<size_t>(range.size))) {
      ++counts[std::to_integer<size_t>(byte)];
    }
  }
  return counts;
}

}  // namespace interlock
