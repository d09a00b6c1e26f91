// White space as the pre-token pattern sees it: Unicode's White_Space.

#include "runtime/data/sentences.h"

#include <algorithm>
#include <array>
#include <string_view>

namespace interlock {
namespace {

// UTF-8 of the characters with the property White_Space (PropList.txt, Unicode 15), 25 in all.
constexpr std::array<std::string_view, 25> spaces = {
    "\t",           "\n",           "\v",           "\f",           "\r",           " ",
    "\xc2\x85",     "\xc2\xa0",     "\xe1\x9a\x80", "\xe2\x80\x80", "\xe2\x80\x81", "\xe2\x80\x82",
    "\xe2\x80\x83", "\xe2\x80\x84", "\xe2\x80\x85", "\xe2\x80\x86", "\xe2\x80\x87", "\xe2\x80\x88",
    "\xe2\x80\x89", "\xe2\x80\x8a", "\xe2\x80\xa8", "\xe2\x80\xa9", "\xe2\x80\xaf", "\xe2\x81\x9f",
    "\xe3\x80\x80"};

enum class Character { space, unfinished, other };

Character classify(std::string_view bytes) {
  Character found = Character::other;
  for (const std::string_view space : spaces) {
    if (space == bytes) return Character::space;
    if (space.starts_with(bytes)) found = Character::unfinished;
  }
  return found;
}

}  // namespace

SentenceTable::SentenceTable(const Tokenizer& tokenizer, SentenceRule rule)
    : tokenizer_(tokenizer), rule_(rule), kinds_(static_cast<size_t>(tokenizer.vocabulary()), plain) {
  for (size_t id = 0; id < kinds_.size(); ++id) {
    const auto number = static_cast<int64_t>(id);
    if (tokenizer.is_special(number)) {
      kinds_[id] = special;
    } else if (tokenizer.bytes_of(number).find('\n') != std::string_view::npos) {
      kinds_[id] = line_feed;
    }
  }
  if (rule != SentenceRule::punctuation) return;
  for (size_t id = 0; id < kinds_.size(); ++id)
    punctuation_.push_back(punctuation_of(tokenizer.bytes_of(static_cast<int64_t>(id))));
}

void SentenceEnds::add(std::span<const int32_t> ids, Found& found) {
  if (table_.rule() == SentenceRule::token) return end_everywhere(ids, found);
  const bool reads_punctuation = table_.rule() == SentenceRule::punctuation;
  for (size_t i = 0; i < ids.size(); ++i) {
    if (reads_punctuation) look_for_stop(ids[i], position_ + static_cast<int64_t>(i), found);
    if (open_ || !table_.is_plain(ids[i])) add_token(ids[i], position_ + static_cast<int64_t>(i), found);
  }
  position_ += std::ssize(ids);
}

void SentenceEnds::finish(Found& found) {
  say(position_, found);
  close();
  position_ = said_ = 0;
  stopped_ = full_ = spaced_ = false;
}

void SentenceEnds::end_everywhere(std::span<const int32_t> ids, Found& found) {
  for (const int32_t id : ids) {
    if (table_.is_special(id)) found.specials.push_back(position_);
    say(++position_, found);
  }
}

// An end lies before the token that shows it. At a line feed the line's own end follows.
void SentenceEnds::look_for_stop(int32_t id, int64_t position, Found& found) {
  const bool plain = table_.is_plain(id);
  const Punctuation token = plain ? table_.punctuation(id) : Punctuation{};
  if (token.blank) spaced_ = true;
  if (token.blank || (token.closes && !spaced_)) return;
  const bool begins = (spaced_ || token.spaced) && !token.small;
  if (plain && (full_ || (stopped_ && begins))) say(position, found);
  stopped_ = token.stops;
  full_ = token.full;
  spaced_ = false;
}

void SentenceEnds::add_token(int32_t id, int64_t position, Found& found) {
  if (table_.is_special(id)) {
    found.specials.push_back(position);
    if (open_) say(end_, found);
    close();
    return;
  }
  for (const char byte : table_.bytes_of(id)) {
    if (open_) {
      add_byte(byte, position, found);
    } else if (byte == '\n') {
      open(position);
    }
  }
}

void SentenceEnds::add_byte(char byte, int64_t position, Found& found) {
  partial_ += byte;
  const Character character = classify(partial_);
  if (character == Character::unfinished) return;
  if (character == Character::space) {
    several_ = true;
    ends_with_feed_ = partial_ == "\n";
    before_last_ = end_;
    end_ = position + 1;
    partial_.clear();
    return;
  }
  // Something else follows: the last character of the run is a pre-token of its own or belongs to what follows, and
  // all before it is one pre-token, with the first line feed in it.
  if (several_) say(before_last_, found);
  if (ends_with_feed_) say(end_, found);
  close();
}

void SentenceEnds::open(int64_t position) {
  open_ = ends_with_feed_ = true;
  several_ = false;
  end_ = position + 1;
}

void SentenceEnds::close() {
  open_ = false;
  partial_.clear();
}

void SentenceEnds::say(int64_t end, Found& found) {
  if (end > said_) found.ends.push_back(said_ = end);
}

}  // namespace interlock
