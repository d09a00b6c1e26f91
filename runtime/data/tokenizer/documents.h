#pragma once
// Documents out of files, as a stream of blocks that are worked on apart: each holds whole documents, and parts of one
// that is larger than a block. Memory does not grow with files or documents.

#include <deque>
#include <fstream>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/data/tokenizer/utf8.h"

namespace interlock {

// What a document is.
struct DocumentKind {
  enum Unit {
    file,        // a file, all of it
    line,        // a line without its end ("\n" or "\r\n")
    blank_line,  // lines with their ends, between lines that have nothing but blanks
    jsonl,       // a text field of the JSON object that each line holds
  };
  Unit unit = file;
  std::string field;

  static DocumentKind parse(const std::string& text);  // "file", "line", "blank_line", "jsonl:FIELD", or Error(usage)
};

struct TextBlock {
  struct Part {
    size_t begin = 0, end = 0;  // in text
    bool begins = true, ends = true;
  };
  std::string text;  // UTF-8
  std::vector<Part> parts;
  int64_t input_bytes = 0;  // read from files since the block before, for progress
};

// Where a document may be cut, as Pretokens and ByteLevelTokenizer have it: `reach` bytes on both sides of a place must
// be there to ask.
struct CutRule {
  std::function<bool(std::string_view, size_t)> allows;
  size_t reach = 4;
};

// Fills blocks with text as it comes.
class BlockBuilder {
 public:
  BlockBuilder(CutRule rule, size_t block_bytes) : rule_(std::move(rule)), block_bytes_(block_bytes) {}
  // To the document that is open; opens one when none is.
  void append(std::string_view text);
  void end_document(bool without_carriage_return = false);  // one without text is left out
  bool has_open_document() const { return open_; }
  void finish_block();
  std::optional<TextBlock> take();  // a finished one

  // A pre-token is encoded in one piece, which takes some 40 bytes of memory for each of its own. Longer ones are
  // refused rather than let a file of nothing but letters end the process.
  static constexpr size_t longest_uncut = size_t{64} << 20;

 private:
  void cut();

  CutRule rule_;
  size_t block_bytes_;
  TextBlock block_;
  bool open_ = false;
  size_t searched_ = 0;  // no place to cut before this one in block_.text
  std::deque<TextBlock> finished_;
};

class DocumentReader {
 public:
  struct Options {
    DocumentKind kind;
    Utf8Stream::OnInvalid on_invalid = Utf8Stream::OnInvalid::error;
    size_t block_bytes = size_t{1} << 20;
  };
  DocumentReader(std::vector<std::string> files, Options options, CutRule rule);

  // The next block; nothing at the end. Error(bad_input) names the file, with the byte or line.
  std::optional<TextBlock> next();
  int64_t bytes() const { return bytes_; }        // read so far
  int64_t replaced() const { return replaced_; }  // characters U+FFFD put in for bytes that are not UTF-8

 private:
  void open_next();
  void read_piece();
  void take_text(std::string_view text);
  void take_lines(std::string_view text);
  void take_line_part(std::string_view part);
  void end_line();
  void take_json();

  std::vector<std::string> files_;
  Options options_;
  BlockBuilder builder_;
  size_t next_file_ = 0;
  std::ifstream file_;
  std::optional<Utf8Stream> utf8_;
  std::string buffer_, text_;
  int64_t line_ = 1, bytes_ = 0, unreported_ = 0, replaced_ = 0;
  bool done_ = false;
  bool blank_ = true;  // the line so far, for blank_line
  std::string held_;  // blank_line: the line's end and blanks that only count when text follows; jsonl: the line so far
};

}  // namespace interlock
