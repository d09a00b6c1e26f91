#pragma once
// Pre-tokens: the pieces of text that byte-level BPE never merges across. The pattern of GPT-2, by PCRE2, with a way
// around it for ASCII. All text here is valid UTF-8 unless said otherwise.

#include <cstddef>
#include <optional>
#include <string_view>

namespace interlock {

// The pattern as files of `tokenizers` spell it, for comparison only.
extern const char* const gpt2_pattern_in_files;

// The end of the pre-token that starts at `at` (< text.size()), which must be the start of one.
size_t pretoken_end(std::string_view text, size_t at);
// The same by the pattern alone: the truth for the above.
size_t pretoken_end_by_pattern(std::string_view text, size_t at);

enum class CharacterClass { letter, number, space, other };
CharacterClass class_at(std::string_view text, size_t at);
// As Rust's \w: part of a word.
bool is_word_at(std::string_view text, size_t at);
// Has no mark on paper: controls, formats, what is not assigned, separators of lines.
bool is_invisible_at(std::string_view text, size_t at);

// Whether text may be cut at `at` (0 < at < size) without a change to any pre-token, judged by the characters on both
// sides alone.
//
// Claim: when the character before is a letter and the one after is none, or before is a number and after is none, or
// before is no space, letter or number and after is a space or a number, then the pre-tokens of text[0, at) and of
// text[at, ...) are those of the whole.
// Proof: (1) A boundary lies there. Alternatives of the pattern are the contractions ('s 't 're 've 'm 'll 'd), an
// optional space with a run of one class, and runs of spaces. After a letter only letters can follow inside any of
// them; after a number only numbers; after another character only others, or the letters of a contraction. (2) What is
// behind: a match depends on text from its start on, so matches that start at the boundary are the same. (3) What is
// before: runs of letters, numbers and others are greedy and end there for either reason, the end of the text or a
// character of another class. A contraction that holds the boundary would hold a letter behind it, or other and
// letter: excluded. The only look ahead, (?!\S), is asked at the end of a run of spaces, and the character before the
// boundary is no space, so each run and the character behind it lie before the boundary.
bool is_safe_cut(std::string_view text, size_t at);

}  // namespace interlock
