// Walks through a text without making a tree of it: strings and comments are stepped over, dots and brackets counted.
// Of what is not TOML it need not know more than toml++, which stops at the first fault.

#include "runtime/core/toml_depth.h"

#include <vector>

#include "runtime/core/error.h"

namespace interlock {
namespace {

class DepthWalk {
 public:
  DepthWalk(std::string_view text, const std::string& file) : text_(text), file_(file) {}

  void walk() {
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c == '"' || c == '\'') {
        step_over_string(c);
        blank_line_ = false;
        continue;
      }
      if (c == '#') {
        step_over_comment();
        continue;
      }
      take(c);
      ++at_;
    }
  }

 private:
  void take(char c) {
    if (c == '\n') return end_line();
    const bool blank = c == ' ' || c == '\t' || c == '\r';
    const bool begins_header = c == '[' && blank_line_ && open_.empty();
    if (!blank) blank_line_ = false;
    if (begins_header) {
      header_ = true;
      header_depth_ = 0;
    }
    if (c == '.') return go_deeper();
    if (c == ',') dots_ = 0;
    if (c == '[' || c == '{') open();
    if (c == ']' || c == '}') close();
  }

  void end_line() {
    ++line_;
    blank_line_ = true;
    if (header_) header_depth_ = depth() + 1;  // [a.b]: what follows lies in b
    if (header_) open_.clear();
    header_ = false;
    dots_ = 0;
  }

  void open() {
    if (header_) return;  // a header's brackets hold a name
    open_.push_back(dots_ + 1);
    inside_ += dots_ + 1;
    dots_ = 0;
    check();
  }

  void close() {
    if (header_ || open_.empty()) return;
    inside_ -= open_.back();
    open_.pop_back();
    dots_ = 0;
  }

  void go_deeper() {
    ++dots_;
    check();
  }

  int depth() const { return header_depth_ + inside_ + dots_; }

  void check() const {
    if (depth() < most_toml_depth) return;
    throw Error(ExitCode::config, message(file_, ":", line_, ": keys and brackets are nested more than ",
                                          most_toml_depth, " deep; no config of ours needs that"));
  }

  void step_over_comment() {
    while (at_ < text_.size() && text_[at_] != '\n') ++at_;
  }

  void step_over_string(char quote) {
    const std::string three(3, quote);
    const bool many_lines = text_.substr(at_, 3) == three;
    at_ += many_lines ? 3 : 1;
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c == '\n') {
        if (!many_lines) return;  // no TOML
        ++line_;
      }
      if (c == '\\' && quote == '"') {
        if (at_ + 1 < text_.size() && text_[at_ + 1] == '\n') ++line_;
        at_ += 2;
        continue;
      }
      if (many_lines ? text_.substr(at_, 3) == three : c == quote) {
        at_ += many_lines ? 3 : 1;
        // Up to two quotes may stand in front of the closing three.
        for (int more = 0; many_lines && more < 2 && at_ < text_.size() && text_[at_] == quote; ++more) ++at_;
        return;
      }
      ++at_;
    }
  }

  std::string_view text_;
  const std::string& file_;
  size_t at_ = 0;
  int64_t line_ = 1;
  bool blank_line_ = true, header_ = false;
  int header_depth_ = 0, inside_ = 0, dots_ = 0;
  std::vector<int> open_;  // by how much each open bracket is deeper than what it stands in
};

}  // namespace

void check_toml_depth(std::string_view toml, const std::string& file) { DepthWalk(toml, file).walk(); }

}  // namespace interlock
