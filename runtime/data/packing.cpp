// Reads a token file once, finds its sentences and packs them.

#include "runtime/data/packing.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <deque>
#include <limits>
#include <utility>

#include "runtime/core/error.h"
#include "runtime/data/token_vocabulary.h"

namespace interlock {
namespace {

constexpr int64_t at_once = 1 << 16;  // ids read in one piece: 256 KiB, which stays in the second-level cache

// Reads a document piece by piece; what was read last is not read again.
class Pieces {
 public:
  explicit Pieces(const TokenFile& file) : file_(file), buffer_(at_once) {}

  // Calls act(ids, position) for each piece.
  template <class Act>
  void for_each(int64_t document, const Act& act) {
    const int64_t length = file_.document_tokens(document);
    for (int64_t begin = 0; begin < length; begin += at_once) {
      const auto ids = std::span(buffer_).first(static_cast<size_t>(std::min(at_once, length - begin)));
      if (document != document_ || begin != begin_) file_.read(document, begin, ids);
      document_ = document;
      begin_ = begin;
      act(std::span<const int32_t>(ids), begin);
    }
  }

 private:
  const TokenFile& file_;
  std::vector<int32_t> buffer_;
  int64_t document_ = -1, begin_ = -1;  // of what the buffer holds
};

void check_ids(const TokenFile& file, std::span<const int32_t> ids, int64_t document, int64_t begin,
               int64_t vocabulary) {
  uint32_t largest = 0;  // a negative id is a large one
  for (const int32_t id : ids) largest = std::max(largest, static_cast<uint32_t>(id));
  if (largest < vocabulary) return;
  const auto bad = std::ranges::find_if(ids, [&](int32_t id) { return id < 0 || id >= vocabulary; });
  throw Error(ExitCode::bad_input, message(file.prefix(), ".bin: id ", begin + (bad - ids.begin()), " of document ",
                                           document, " is ", *bad, "; the tokenizer knows 0 to ", vocabulary - 1,
                                           " (data.paths and tokenizer.path do not belong together)"));
}

// A share of 2^64 from the ids of a document: a multiplication for two ids at a time, and all bits stirred at the end
// (the constants are those of MurmurHash3's and SplitMix64's finalisers).
class ContentHash {
 public:
  // All pieces but the last have an even length.
  void add(std::span<const int32_t> ids) {
    const auto word = [](int32_t id) { return static_cast<uint64_t>(static_cast<uint32_t>(id)); };
    size_t i = 0;
    for (; i + 2 <= ids.size(); i += 2) mix(word(ids[i]) << 32 | word(ids[i + 1]));
    if (i < ids.size()) mix(~word(ids[i]));
  }
  double share() const {
    uint64_t mixed = state_;
    for (const uint64_t factor : {uint64_t{0xbf58476d1ce4e5b9}, uint64_t{0x94d049bb133111eb}}) {
      mixed = (mixed ^ (mixed >> 31)) * factor;
    }
    return static_cast<double>(mixed ^ (mixed >> 32)) * 0x1p-64;
  }

 private:
  void mix(uint64_t value) { state_ = std::rotl((state_ ^ value) * uint64_t{0xff51afd7ed558ccd}, 29); }
  uint64_t state_ = 0x9e3779b97f4a7c15;
};

class Packer {
 public:
  explicit Packer(PackingRules rules) : rules_(rules) {}

  void begin_document(uint32_t document) {
    document_ = document;
    done_ = 0;
    specials_.clear();
  }
  // Ends of sentences of the current document, all specials before them included.
  void add(const SentenceEnds::Found& found) {
    specials_.insert(specials_.end(), found.specials.begin(), found.specials.end());
    for (const int64_t end : found.ends) {
      for (; done_ < end; done_ += std::min(rules_.capacity, end - done_)) {
        place(std::min(rules_.capacity, end - done_));
      }
    }
  }
  std::vector<SampleStart> take() {
    starts_.shrink_to_fit();
    return std::move(starts_);
  }

 private:
  void place(int64_t size) {
    const bool new_document = starts_.empty() || document_ != last_document_;
    const int64_t room = size + (new_document ? 1 : 0);  // with the separator
    const bool fits = used_ + room <= rules_.capacity && (!new_document || rules_.cross_documents);
    if (starts_.empty() || !fits) {
      starts_.emplace_back(document_, done_);
      used_ = size;
    } else {
      used_ += room;
    }
    last_document_ = document_;
    int64_t special = 0;
    for (; !specials_.empty() && specials_.front() < done_ + size; specials_.pop_front()) ++special;
    starts_.back().add_predictable(size - special);
  }

  PackingRules rules_;
  std::vector<SampleStart> starts_;
  std::deque<int64_t> specials_;
  uint32_t document_ = 0, last_document_ = 0;
  int64_t done_ = 0, used_ = 0;  // tokens of the document that are placed; of the sample that are taken
};

// Documents with an end behind each, cut into samples of `capacity`.
class StreamPacker {
 public:
  explicit StreamPacker(int64_t capacity) : capacity_(capacity) {}

  void add(uint32_t document, int64_t tokens) {
    if (tokens == 0) return;
    for (int64_t done = 0; done <= tokens;) {
      if (room_ == 0) {
        starts_.emplace_back(document, done);
        room_ = capacity_;
      }
      const int64_t taken = std::min(room_, tokens + 1 - done);
      starts_.back().add_predictable(taken);
      room_ -= taken;
      done += taken;
    }
  }
  std::vector<SampleStart> take() {
    starts_.shrink_to_fit();
    return std::move(starts_);
  }

 private:
  int64_t capacity_, room_ = 0;
  std::vector<SampleStart> starts_;
};

void check_size(const TokenFile& file) {
  if (file.documents() > std::numeric_limits<uint32_t>::max()) {
    throw Error(ExitCode::bad_input, message(file.prefix(), ".idx: has ", file.documents(),
                                             " documents; 2^32 - 1 are the most, split it into several files"));
  }
  for (int64_t document = 0; document < file.documents(); ++document) {
    if (file.document_tokens(document) > SampleStart::most_offset) {
      throw Error(ExitCode::bad_input, message(file.prefix(), ".idx: document ", document, " has ",
                                               file.document_tokens(document), " tokens; 2^40 - 1 are the most"));
    }
  }
}

}  // namespace

PackedSamples::PackedSamples(std::shared_ptr<const TokenFile> file, PackingRules rules, int32_t separator,
                             std::vector<SampleStart> starts, std::vector<bool> members)
    : file_(std::move(file)),
      rules_(rules),
      separator_(separator),
      starts_(std::move(starts)),
      members_(std::move(members)) {}

template <class Act>
void PackedSamples::for_each_stretch(int64_t sample, const Act& act) const {
  assert(sample >= 0 && sample < size());
  const auto place = static_cast<size_t>(sample);
  const bool last = place + 1 == starts_.size();
  const int64_t stop = last ? file_->documents() : starts_[place + 1].document();
  const int64_t stop_offset = last ? 0 : starts_[place + 1].offset();
  int64_t document = starts_[place].document(), begin = starts_[place].offset();
  while (true) {
    const int64_t end = document == stop ? stop_offset : file_->document_tokens(document);
    if (end > begin) act(document, begin, end);
    begin = 0;
    do {
      ++document;
    } while (document < stop && !members_.empty() && !members_[static_cast<size_t>(document)]);
    if (document > stop || document == file_->documents() || !rules_.cross_documents) return;
  }
}

int64_t PackedSamples::next_document(int64_t document) const {
  do {
    ++document;
  } while (document < file_->documents() &&
           ((!members_.empty() && !members_[static_cast<size_t>(document)]) || file_->document_tokens(document) == 0));
  return document;
}

int64_t PackedSamples::read_stream(int64_t sample, std::span<int32_t> out) const {
  const SampleStart& start = starts_[static_cast<size_t>(sample)];
  int64_t document = start.document(), offset = start.offset() - 1, written = 0;  // from the token before on
  const int64_t count = start.predictable() + 1;
  if (offset < 0) out[static_cast<size_t>(written++)] = separator_, offset = 0;
  while (written < count) {
    const int64_t taken = std::min(file_->document_tokens(document) - offset, count - written);
    file_->read(document, offset, out.subspan(static_cast<size_t>(written), static_cast<size_t>(taken)));
    written += taken;
    if (written < count) out[static_cast<size_t>(written++)] = separator_;
    if (written < count) document = next_document(document), offset = 0;
  }
  return written;
}

int64_t PackedSamples::tokens(int64_t sample) const {
  if (rules_.stream) return predictable(sample);
  int64_t count = 0;
  for_each_stretch(sample, [&](int64_t, int64_t begin, int64_t end) { count += (count > 0 ? 1 : 0) + end - begin; });
  return count;
}

int64_t PackedSamples::read(int64_t sample, std::span<int32_t> out) const {
  if (rules_.stream) return read_stream(sample, out);
  int64_t written = 0;
  for_each_stretch(sample, [&](int64_t document, int64_t begin, int64_t end) {
    if (written > 0) out[static_cast<size_t>(written++)] = separator_;
    file_->read(document, begin, out.subspan(static_cast<size_t>(written), static_cast<size_t>(end - begin)));
    written += end - begin;
  });
  return written;
}

PackedFile pack(const std::shared_ptr<const TokenFile>& file, const Tokenizer& tokenizer, PackingRules rules,
                double held_out) {
  assert(rules.capacity >= 1 && rules.capacity <= SampleStart::most_predictable);
  check_size(*file);
  const SentenceTable table(tokenizer, rules.sentences);
  SentenceEnds sentences(table);
  Packer packers[2] = {Packer(rules), Packer(rules)};  // training, held out
  StreamPacker streams[2] = {StreamPacker(rules.capacity), StreamPacker(rules.capacity)};
  std::vector<bool> training, held;
  Pieces pieces(*file);
  SentenceEnds::Found found;
  for (int64_t document = 0; document < file->documents(); ++document) {
    bool out = held_out >= 1;
    if (held_out > 0 && !out) {
      ContentHash hash;
      pieces.for_each(document, [&](auto ids, int64_t) { hash.add(ids); });
      out = hash.share() < held_out;
      training.push_back(!out);
      held.push_back(out);
    }
    if (rules.stream) {
      pieces.for_each(document,
                      [&](auto ids, int64_t begin) { check_ids(*file, ids, document, begin, tokenizer.vocabulary()); });
      streams[out ? 1 : 0].add(static_cast<uint32_t>(document), file->document_tokens(document));
      continue;
    }
    Packer& packer = packers[out ? 1 : 0];
    packer.begin_document(static_cast<uint32_t>(document));
    const auto pass_on = [&] {
      packer.add(found);
      found.ends.clear();
      found.specials.clear();
    };
    pieces.for_each(document, [&](auto ids, int64_t begin) {
      check_ids(*file, ids, document, begin, tokenizer.vocabulary());
      sentences.add(ids, found);
      pass_on();
    });
    sentences.finish(found);
    pass_on();
  }
  const auto separator =
      static_cast<int32_t>(rules.stream ? document_end(tokenizer, "the folder") : tokenizer.specials().end);
  const auto starts = [&](size_t part) { return rules.stream ? streams[part].take() : packers[part].take(); };
  return {PackedSamples(file, rules, separator, starts(0), std::move(training)),
          PackedSamples(file, rules, separator, starts(1), std::move(held))};
}

}  // namespace interlock
