#pragma once
// The stderr of mpirun on its way to ours. All passes through at once, half lines too (a status line ends in no
// newline), but for three things that are kept: `interlock: error:` lines of ranks with the indented lines after them,
// and mpirun's own banners about processes that ended, from which comes the one reason that the supervisor prints last;
// and the line by which ranks show that they are up (handshake.h).

#include <functional>
#include <string>
#include <string_view>

namespace interlock {

class LauncherOutput {
 public:
  // `launch_word`: what ranks of this launch show.
  explicit LauncherOutput(std::function<void(std::string_view)> forward, std::string launch_word = "")
      : forward_(std::move(forward)), launch_word_(std::move(launch_word)) {}
  void feed(std::string_view bytes);
  void finish();                        // the stream has ended
  void insert(std::string_view lines);  // words of our own, on lines of their own

  // Whether a rank has failed, as far as the output tells.
  bool failed() const { return !error_.empty() || banner_seen_; }
  bool rank_said_why() const { return !error_.empty(); }
  // The rank's own words, else a sentence made of mpirun's banner, else "". Ends without a newline.
  std::string reason() const { return error_.empty() ? banner_reason_ : error_; }
  bool ranks_are_up() const { return ranks_are_up_; }
  bool killed_by_signal() const { return killed_by_signal_; }
  const std::string& remarks() const { return remarks_; }  // what mpirun said about itself, kept back

 private:
  enum class State { plain, error, banner };
  void take_line(std::string_view line, std::string_view end);
  void take_banner_line(std::string_view line);
  void take_plain_line(std::string_view line, std::string_view end);
  void take_error(std::string_view line);
  bool take_handshake(std::string_view line);
  void pass_partial();
  void pass(std::string_view text);
  void close_banner();

  const std::function<void(std::string_view)> forward_;
  const std::string launch_word_;
  bool ranks_are_up_ = false;
  State state_ = State::plain;
  std::string partial_;          // of the unfinished line, what was not forwarded
  bool line_continues_ = false;  // something of the unfinished line was forwarded
  bool records_error_ = false;   // the error whose lines come in is the first one
  std::string error_, banner_, banner_reason_, remarks_;
  bool banner_seen_ = false, killed_by_signal_ = false, inside_line_ = false;
};

}  // namespace interlock
