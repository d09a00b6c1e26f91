#include "runtime/data/tables/fields.h"

#include "runtime/core/error.h"

namespace interlock {
namespace {

[[noreturn]] void refuse(int64_t line, const std::string& what) {
  throw Error(ExitCode::bad_input, message("line ", line, ": ", what));
}

// The lines of a text without their ends, "\n" or "\r\n".
template <class Take>
void each_line(std::string_view text, Take take) {
  int64_t number = 1;
  for (size_t begin = 0; begin < text.size(); ++number) {
    const size_t found = text.find('\n', begin), end = found == std::string_view::npos ? text.size() : found;
    std::string_view line = text.substr(begin, end - begin);
    if (line.ends_with('\r')) line.remove_suffix(1);
    take(number, line);
    begin = end + 1;
  }
}

// One pass over a CSV. What stands in quotes may hold line ends, so lines are counted on the way.
class QuotedReader {
 public:
  QuotedReader(std::string_view text, const TakeLine& take) : text_(text), take_(take) {}

  int64_t read() {
    while (at_ < text_.size()) read_record();
    return empty_;
  }

 private:
  bool at_line_end() const {
    return at_ == text_.size() || text_[at_] == '\n' || text_.substr(at_, 2) == "\r\n" ||
           (text_[at_] == '\r' && at_ + 1 == text_.size());
  }

  void pass_line_end() {
    at_ += at_ < text_.size() && text_[at_] == '\r' ? 1 : 0;
    at_ += at_ < text_.size() ? 1 : 0;
    ++line_;
  }

  void read_record() {
    FieldsOfLine record{line_, {}};
    if (at_line_end()) {
      ++empty_;
      return pass_line_end();
    }
    while (true) {
      record.fields.push_back(at_ < text_.size() && text_[at_] == '"' ? quoted() : plain());
      if (at_line_end()) break;
      ++at_;  // the comma
    }
    pass_line_end();
    take_(std::move(record));
  }

  std::string plain() {
    const size_t begin = at_;
    while (!at_line_end() && text_[at_] != ',') ++at_;
    return std::string(text_.substr(begin, at_ - begin));
  }

  std::string quoted() {
    const int64_t begun = line_;
    std::string field;
    for (++at_; at_ < text_.size(); ++at_) {
      if (text_[at_] != '"') {
        line_ += text_[at_] == '\n' ? 1 : 0;
        field += text_[at_];
        continue;
      }
      if (text_.substr(at_, 2) != "\"\"") break;
      field += text_[at_++];
    }
    if (at_ == text_.size()) refuse(begun, "a quote begins a field here and does not end");
    ++at_;
    if (!at_line_end() && text_[at_] != ',')
      refuse(line_, "text follows a closing quote; write a quote inside a quoted field twice");
    return field;
  }

  std::string_view text_;
  const TakeLine& take_;
  size_t at_ = 0;
  int64_t line_ = 1, empty_ = 0;
};

}  // namespace

int64_t read_lines(std::string_view text, const TakeLine& take) {
  int64_t empty = 0;
  each_line(text, [&](int64_t number, std::string_view line) {
    if (line.empty()) {
      ++empty;
    } else {
      take({number, {std::string(line)}});
    }
  });
  return empty;
}

int64_t read_separated(std::string_view text, const TakeLine& take) {
  return read_lines(text, [&](FieldsOfLine&& whole) {
    const std::string_view line = whole.fields.front();
    FieldsOfLine cut{whole.line, {}};
    for (size_t begin = 0; begin <= line.size();) {
      const size_t found = line.find('\t', begin), end = found == std::string_view::npos ? line.size() : found;
      cut.fields.emplace_back(line.substr(begin, end - begin));
      begin = end + 1;
    }
    take(std::move(cut));
  });
}

int64_t read_quoted(std::string_view text, const TakeLine& take) { return QuotedReader(text, take).read(); }

}  // namespace interlock
