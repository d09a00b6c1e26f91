// Takes mpirun's stderr apart, line by line.
#include "launch/supervisor/launcher_output.h"

#include <algorithm>
#include <utility>

#include "launch/supervisor/handshake.h"
#include "launch/supervisor/mpirun_banner.h"

namespace interlock {
namespace {

constexpr std::string_view error_marker = "interlock: error:", up_marker = ranks_are_up_marker;
const std::string banner_edge(70, '-');  // Open MPI draws 74
constexpr size_t longest_banner = 6000;  // mpirun's longest has 2000 characters; more is somebody else's dashes
constexpr size_t longest_remark = 300;

// What is of interest may stand behind a status line of another rank that has no end.
size_t start_of_interest(std::string_view line) {
  return std::min({line.find(error_marker), line.find(banner_edge), line.find(up_marker)});
}

// How many characters at the end of `text` may turn out to begin something of interest.
size_t undecided(std::string_view text) {
  const size_t last_other = text.find_last_not_of('-');
  const size_t dashes = last_other == std::string_view::npos ? text.size() : text.size() - last_other - 1;
  for (size_t length = std::min(std::max(error_marker.size(), up_marker.size()) - 1, text.size()); length > dashes;
       --length) {
    for (const std::string_view marker : {error_marker, up_marker})
      if (length < marker.size() && text.ends_with(marker.substr(0, length))) return length;
  }
  return dashes;
}

// A remark of mpirun is known by its beginning and by words that come later, so its beginning waits for the end of
// line.
bool may_become_remark(std::string_view line) {
  constexpr std::string_view own = "mpirun: ";
  if (line.empty() || line.size() > longest_remark || line.find('\r') != std::string_view::npos) return false;
  return line[0] == '[' || line.substr(0, own.size()) == own.substr(0, std::min(own.size(), line.size()));
}

bool is_indented(std::string_view line) { return line.starts_with(' ') || line.starts_with('\t'); }

}  // namespace

void LauncherOutput::feed(std::string_view bytes) {
  const std::string text = std::exchange(partial_, "") + std::string(bytes);
  size_t begin = 0;
  for (size_t end; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1) {
    take_line(std::string_view(text).substr(begin, end - begin), "\n");
    line_continues_ = false;
  }
  partial_ = text.substr(begin);
  pass_partial();
}

void LauncherOutput::finish() {
  if (!partial_.empty()) take_line(std::exchange(partial_, ""), "");
  if (state_ == State::banner) close_banner();
  state_ = State::plain;
}

void LauncherOutput::insert(std::string_view lines) {
  if (inside_line_) pass("\n");
  pass(lines);
}

void LauncherOutput::take_line(std::string_view line, std::string_view end) {
  if (state_ == State::banner) {
    take_banner_line(line);
    return;
  }
  if (state_ == State::error) {
    if (is_indented(line)) {
      if (records_error_) error_ += "\n" + std::string(line);
      return;
    }
    state_ = State::plain;
  }
  take_plain_line(line, end);
}

void LauncherOutput::take_plain_line(std::string_view line, std::string_view end) {
  const size_t start = start_of_interest(line);
  if (start == std::string_view::npos) {
    if (!line_continues_ && is_mpirun_remark(line)) {
      remarks_ += std::string(line) + "\n";
    } else {
      pass(std::string(line) + std::string(end));
    }
    return;
  }
  pass(line.substr(0, start));
  const std::string_view rest = line.substr(start);
  if (rest.starts_with(up_marker)) {
    if (!take_handshake(rest)) pass(std::string(rest) + std::string(end));
    return;
  }
  if (rest.starts_with(error_marker)) {
    take_error(rest);
    state_ = State::error;
  } else {
    state_ = State::banner;
  }
}

// Of another launch it is a line like any other.
bool LauncherOutput::take_handshake(std::string_view line) {
  if (launch_word_.empty() || line.substr(up_marker.size()) != launch_word_) return false;
  ranks_are_up_ = true;
  return true;
}

void LauncherOutput::take_error(std::string_view line) {
  records_error_ = error_.empty();
  if (records_error_) error_ = line;
}

// A rank's error may come in between the lines of a banner; it is then one line.
void LauncherOutput::take_banner_line(std::string_view line) {
  if (line.starts_with(banner_edge)) {
    close_banner();
  } else if (const size_t error = line.find(error_marker); error != std::string_view::npos) {
    take_error(line.substr(error));
  } else {
    banner_ += std::string(line) + "\n";
    if (banner_.size() > longest_banner) {
      pass(banner_edge + "\n" + std::exchange(banner_, ""));
      state_ = State::plain;
    }
  }
}

void LauncherOutput::close_banner() {
  state_ = State::plain;
  const std::string text = std::exchange(banner_, "");
  const MpirunBanner banner = read_mpirun_banner(text);
  if (!banner.about_an_end) {
    pass(banner_edge + "\n" + text + banner_edge + "\n");
    return;
  }
  banner_seen_ = true;
  // Of several banners the one about a signal says most; mpirun speaks of the first rank that ended.
  if (banner_reason_.empty() || (banner.by_signal && !killed_by_signal_)) banner_reason_ = banner.reason;
  killed_by_signal_ |= banner.by_signal;
}

void LauncherOutput::pass_partial() {
  if (state_ == State::banner) return;
  if (state_ == State::error) {
    if (partial_.empty() || is_indented(partial_)) return;
    state_ = State::plain;
  }
  if (!line_continues_ && may_become_remark(partial_)) return;
  const size_t start = start_of_interest(partial_);
  const size_t ready = start == std::string::npos ? partial_.size() - undecided(partial_) : start;
  if (ready == 0) return;
  pass(std::string_view(partial_).substr(0, ready));
  partial_.erase(0, ready);
  line_continues_ = true;
}

void LauncherOutput::pass(std::string_view text) {
  if (text.empty()) return;
  forward_(text);
  inside_line_ = text.back() != '\n';
}

}  // namespace interlock
