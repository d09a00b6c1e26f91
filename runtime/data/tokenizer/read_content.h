#pragma once
// Readers of the files of a tokenizer. All failures are Error(bad_input) with the file and what is wrong in it.

#include <string>

#include "runtime/data/tokenizer/content.h"

namespace interlock {

// The file of the `tokenizers` library. What it may ask for beyond byte-level BPE is refused, not passed over; only
// `truncation`, `padding` and `post_processor` are, because they concern batches and whole documents are encoded here.
TokenizerContent read_tokenizer_json(const std::string& path);
// From the same, already in memory; `path` is for messages.
TokenizerContent parse_tokenizer_json(std::string_view text, const std::string& path);

// vocab.json (token -> id) and merges.txt ("left right" by rank after a version line).
TokenizerContent read_vocabulary_and_merges(const std::string& vocabulary, const std::string& merges);

// Whichever of the two `path` holds: a tokenizer.json, or a folder, whose other files count then (side_files.h).
TokenizerContent read_content(const std::string& path);

}  // namespace interlock
