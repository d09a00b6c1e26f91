#pragma once
// What a token's bytes say about the end of a sentence by its punctuation: a full stop, question or exclamation mark,
// with quotes and brackets that close behind it, then white space and something that may begin a sentence (no small
// ASCII letter: "e.g. the" goes on). Full-width marks (U+3002, U+FF01, U+FF1F) need no white space. Abbreviations
// before a capital ("Mr. Smith") are taken for ends: where samples are only filled with whole sentences, an early end
// does no harm.

#include <cstdint>
#include <string_view>

namespace interlock {

struct Punctuation {
  bool spaced : 1 = false;  // white space first, then something else
  bool small : 1 = false;   // begins with a small ASCII letter, white space apart
  bool blank : 1 = false;   // white space alone, without a line feed
  bool closes : 1 = false;  // quotes and brackets that close, nothing else
  bool stops : 1 = false;   // ends with a mark, and what closes behind it
  bool full : 1 = false;    // the same of a full-width mark
};

// Of the bytes of one token. A token with a line feed says nothing here.
Punctuation punctuation_of(std::string_view token);

}  // namespace interlock
