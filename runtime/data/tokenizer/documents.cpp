// Reads files piece by piece and finds the documents in them.

#include "runtime/data/tokenizer/documents.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>

#include "runtime/core/error.h"
#include "runtime/data/tokenizer/foreign_json.h"

namespace interlock {
namespace {

constexpr size_t piece_bytes = size_t{256} << 10;
constexpr size_t longest_json_line = size_t{256} << 20;  // it is parsed as a whole
constexpr std::string_view blanks = " \t\r\v\f";

// The text field of a JSON line.
std::string field_of(const std::string& given, const std::string& field, const std::string& place,
                     Utf8Stream::OnInvalid on_invalid, int64_t& replaced) {
  using nlohmann::json;
  json object = json::parse(given, nullptr, false);
  std::string line;
  if (object.is_discarded()) {
    line = without_foreign_numbers(given);
    if (on_invalid == Utf8Stream::OnInvalid::replace) line = without_lone_surrogates(line, replaced);
  }
  try {
    if (object.is_discarded()) object = json::parse(line.begin(), line.end());
  } catch (const json::exception& problem) {
    const std::string words = problem.what();
    const size_t prefix = words.find("] ");  // "[json.exception.parse_error.101] "
    throw Error(ExitCode::bad_input,
                message(place, ": not JSON: ", prefix == std::string::npos ? words : words.substr(prefix + 2),
                        words.find("surrogate") == std::string::npos
                            ? ""
                            : "; half a character, which --invalid-utf8 replace puts U+FFFD in for"));
  }
  if (!object.is_object()) throw Error(ExitCode::bad_input, message(place, ": a JSON object is expected on each line"));
  const auto found = object.find(field);
  if (found == object.end())
    throw Error(ExitCode::bad_input, message(place, ": the object has no field \"", field, "\""));
  if (!found->is_string())
    throw Error(ExitCode::bad_input, message(place, ": field \"", field, "\" is ", found->type_name(), ", not a text"));
  return found->get<std::string>();
}

}  // namespace

DocumentKind DocumentKind::parse(const std::string& text) {
  if (text == "file") return {file, ""};
  if (text == "line") return {line, ""};
  if (text == "blank_line") return {blank_line, ""};
  if (text.starts_with("jsonl:") && text.size() > 6) return {jsonl, text.substr(6)};
  throw Error(ExitCode::usage, message("--document ", text, " is none of file, line, blank_line and jsonl:FIELD"));
}

DocumentReader::DocumentReader(std::vector<std::string> files, Options options, CutRule rule)
    : files_(std::move(files)), options_(std::move(options)), builder_(std::move(rule), options_.block_bytes) {}

std::optional<TextBlock> DocumentReader::next() {
  for (;;) {
    if (auto block = builder_.take()) {
      block->input_bytes = unreported_;
      unreported_ = 0;
      return block;
    }
    if (done_) return std::nullopt;
    if (!utf8_) open_next();
    if (utf8_) read_piece();
  }
}

void DocumentReader::open_next() {
  if (next_file_ == files_.size()) {
    done_ = true;
    builder_.finish_block();
    return;
  }
  const std::string& path = files_[next_file_++];
  file_.open(path, std::ios::binary);
  if (!file_) throw Error(ExitCode::bad_input, message("cannot read ", path, ": ", std::strerror(errno)));
  utf8_.emplace(options_.on_invalid, path);
  line_ = 1;
}

void DocumentReader::read_piece() {
  const std::string& path = files_[next_file_ - 1];
  buffer_.resize(piece_bytes);
  errno = 0;
  file_.read(buffer_.data(), static_cast<std::streamsize>(buffer_.size()));
  if (file_.bad()) throw Error(ExitCode::bad_input, message("cannot read ", path, ": ", std::strerror(errno)));
  const auto bytes = static_cast<size_t>(file_.gcount());
  const bool last = file_.eof();
  bytes_ += static_cast<int64_t>(bytes);
  unreported_ += static_cast<int64_t>(bytes);
  text_.clear();
  utf8_->add(std::string_view(buffer_).substr(0, bytes), text_);
  if (last) utf8_->finish(text_);
  try {
    take_text(text_);
    if (last && options_.kind.unit != DocumentKind::file) end_line();
    if (last) builder_.end_document();
  } catch (const Error& error) {
    const std::string words = error.what();
    throw Error(error.code(), words.starts_with(path) ? words : path + ": " + words);
  }
  if (!last) return;
  held_.clear();
  replaced_ += utf8_->replaced();
  utf8_.reset();
  file_.close();
  file_.clear();
}

void DocumentReader::take_text(std::string_view text) {
  if (options_.kind.unit == DocumentKind::file) {
    builder_.append(text);
  } else {
    take_lines(text);
  }
}

void DocumentReader::take_lines(std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    take_line_part(text.substr(at, end - at));
    if (end < text.size()) {
      end_line();
      ++line_;
      if (options_.kind.unit == DocumentKind::blank_line && builder_.has_open_document()) held_ = "\n";
    }
    at = end + 1;
  }
}

void DocumentReader::take_line_part(std::string_view part) {
  switch (options_.kind.unit) {
    case DocumentKind::file:
    case DocumentKind::line:
      return builder_.append(part);
    case DocumentKind::jsonl:
      if (held_.size() + part.size() > longest_json_line)
        throw Error(ExitCode::bad_input, message(files_[next_file_ - 1], ":", line_, ": a JSON line of more than ",
                                                 longest_json_line >> 20, " MiB"));
      held_ += part;
      return;
    case DocumentKind::blank_line:
      break;
  }
  if (blank_) {
    const size_t visible = std::min(part.find_first_not_of(blanks), part.size());
    held_ += part.substr(0, visible);
    if (held_.size() > BlockBuilder::longest_uncut)
      throw Error(ExitCode::bad_input, message(files_[next_file_ - 1], ":", line_, ": more than ",
                                               BlockBuilder::longest_uncut >> 20, " MiB of blanks"));
    part.remove_prefix(visible);
    if (part.empty()) return;
    blank_ = false;
    builder_.append(held_);
    held_.clear();
  }
  builder_.append(part);
}

void DocumentReader::end_line() {
  switch (options_.kind.unit) {
    case DocumentKind::file:
      return;
    case DocumentKind::line:
      return builder_.end_document(true);
    case DocumentKind::jsonl:
      return take_json();
    case DocumentKind::blank_line:
      if (blank_) builder_.end_document(true);
      blank_ = true;
      held_.clear();
  }
}

void DocumentReader::take_json() {
  const std::string line = std::move(held_);
  held_.clear();
  if (line.find_first_not_of(blanks) == std::string::npos) return;
  builder_.append(
      field_of(line, options_.kind.field, message(files_[next_file_ - 1], ":", line_), options_.on_invalid, replaced_));
  builder_.end_document();
}

}  // namespace interlock
