// `interlock status`: what a run does, from what its ranks write into its folder.

#include <sys/ioctl.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <iostream>
#include <thread>

#include "launch/command.h"
#include "launch/monitor/run_status.h"
#include "launch/terminal/printable_output.h"
#include "runtime/core/error.h"
#include "runtime/observe/progress.h"

namespace interlock {
namespace {

class Status final : public Command {
 public:
  std::string summary() const override { return "show what a run and each of its ranks do"; }
  void declare(CLI::App& app) override {
    app.add_option("run", run_, "the run folder; the run may go on, here or elsewhere, or be over")->required();
    auto* json = app.add_flag("--json", json_, "print one JSON object");
    app.add_flag("--watch", watch_, "show it again every second until the run is over")->excludes(json);
  }

  int run() override {
    RunStatus status = read_status(run_);
    if (json_) {
      std::cout << status_json(status) << std::endl;
      return 0;
    }
    const bool terminal = isatty(STDOUT_FILENO) == 1;
    show(status, terminal, false);
    while (watch_ && status.goes_on() && std::cout) {
      std::this_thread::sleep_for(std::chrono::seconds(1));
      status = read_status(run_);
      show(status, terminal, true);
    }
    return 0;
  }

 private:
  // As many lines as the window shows at once: what has left it at the top cannot be drawn over.
  static std::string fitting(const std::string& text) {
    winsize size{};
    const bool known = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 1;
    const auto lines = std::count(text.begin(), text.end(), '\n');
    if (!known || lines < size.ws_row) return text;
    const std::ptrdiff_t kept = std::max(1, size.ws_row - 2);
    size_t end = 0;
    for (std::ptrdiff_t line = 0; line < kept; ++line) end = text.find('\n', end) + 1;
    return text.substr(0, end) + (kept < size.ws_row - 1 ? message("(", lines - kept, " more lines)\n") : "");
  }

  // On a terminal over what stood there before, and nothing below it.
  void show(const RunStatus& status, bool terminal, bool again) {
    std::string text = status_text(status, terminal ? terminal_width() : 80);
    if (terminal && watch_) text = fitting(text);
    if (terminal && again) raw_output() << "\x1b[" << lines_ << "A\x1b[J";
    lines_ = std::count(text.begin(), text.end(), '\n');
    std::cout << text << std::flush;
  }

  std::string run_;
  bool json_ = false, watch_ = false;
  std::ptrdiff_t lines_ = 0;
};

const Registration<Command> registered("status", [] { return std::make_unique<Status>(); });

}  // namespace
}  // namespace interlock
