#include "runtime/data/text_stream.h"

#include <algorithm>

#include "runtime/data/byte_tokens.h"

namespace interlock {

TextStream::TextStream(const TextCorpus& corpus, Split split, int64_t length)
    : corpus_(corpus), length_(length), ranges_(corpus.ranges(split)), begins_{0} {
  for (const TextCorpus::Range& range : ranges_) begins_.push_back(begins_.back() + range.size + (range.ends ? 1 : 0));
}

int64_t TextStream::samples() const { return (begins_.back() + length_ - 1) / length_; }

int64_t TextStream::tokens(int64_t sample) const { return std::min(length_, begins_.back() - sample * length_); }

int64_t TextStream::ends() const { return std::ranges::count_if(ranges_, &TextCorpus::Range::ends); }

void TextStream::read(int64_t sample, std::span<int64_t> out) const {
  int64_t place = sample * length_ - 1;  // in the stream
  auto rest = out;
  if (place < 0) {
    rest.front() = byte_tokens::end;
    rest = rest.subspan(1);
    place = 0;
  }
  auto range = static_cast<size_t>(std::ranges::upper_bound(begins_, place) - begins_.begin()) - 1;
  while (!rest.empty()) {
    const int64_t offset = place - begins_[range],
                  bytes = std::min(ranges_[range].size - offset, static_cast<int64_t>(rest.size()));
    corpus_.read(ranges_[range], offset, rest.first(static_cast<size_t>(bytes)));
    rest = rest.subspan(static_cast<size_t>(bytes));
    if (!rest.empty() && ranges_[range].ends) {
      rest.front() = byte_tokens::end;
      rest = rest.subspan(1);
    }
    place = begins_[++range];
  }
}

}  // namespace interlock
