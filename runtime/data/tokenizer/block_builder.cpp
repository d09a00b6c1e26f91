// Cuts text into blocks.

#include <algorithm>

#include "runtime/core/error.h"
#include "runtime/data/tokenizer/documents.h"

namespace interlock {

void BlockBuilder::append(std::string_view text) {
  if (text.empty()) return;
  if (!open_) {
    block_.parts.push_back({block_.text.size(), 0, true, false});
    searched_ = 0;
    open_ = true;
  }
  constexpr size_t piece = size_t{1} << 20;  // so that a long text does not lie here twice
  for (size_t at = 0; at < text.size(); at += piece) {
    block_.text.append(text.substr(at, piece));
    while (block_.text.size() >= block_bytes_ + rule_.reach) {
      const size_t finished = finished_.size();
      cut();
      if (finished_.size() == finished) break;
    }
  }
}

void BlockBuilder::cut() {
  const size_t begin = block_.parts.back().begin;
  const std::string_view part = std::string_view(block_.text).substr(begin);
  size_t at = std::max({searched_, block_bytes_, begin + 1});
  while (at + rule_.reach <= block_.text.size() && !rule_.allows(part, at - begin)) ++at;
  searched_ = at;
  if (at + rule_.reach > block_.text.size()) {
    if (part.size() > longest_uncut)
      throw Error(ExitCode::bad_input, message("more than ", longest_uncut >> 20,
                                               " MiB without a place between words where a document can be cut"));
    return;
  }
  std::string rest = block_.text.substr(at);
  block_.text.resize(at);
  block_.parts.back().end = at;
  finished_.push_back(std::move(block_));
  block_ = {};
  block_.text = std::move(rest);
  block_.parts.push_back({0, 0, false, false});
  searched_ = 0;
}

void BlockBuilder::end_document(bool without_carriage_return) {
  if (!open_) return;
  open_ = false;
  TextBlock::Part& part = block_.parts.back();
  // The carriage return is never alone behind a cut: one lies only behind what is no space.
  if (without_carriage_return && block_.text.size() > part.begin && block_.text.back() == '\r') block_.text.pop_back();
  part.end = block_.text.size();
  part.ends = true;
  if (part.begins && part.begin == part.end) block_.parts.pop_back();
  if (block_.text.size() >= block_bytes_) finish_block();
}

void BlockBuilder::finish_block() {
  if (block_.parts.empty()) return;
  finished_.push_back(std::move(block_));
  block_ = {};
}

std::optional<TextBlock> BlockBuilder::take() {
  if (finished_.empty()) return std::nullopt;
  TextBlock block = std::move(finished_.front());
  finished_.pop_front();
  return block;
}

}  // namespace interlock
