// What a person reads: plain lines in a file, one line on a terminal (a real one, made for the test), never wider than
// it.
#include "runtime/observe/progress.h"

#include <gmock/gmock.h>
#include <pty.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <sstream>
#include <string_view>

#include "runtime/core/log.h"

namespace interlock {
namespace {

using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

StepMetrics at_step(int64_t step) {
  StepMetrics metrics;
  metrics.step = step;
  metrics.loss = 2.8412;
  metrics.tokens_per_second = 12345;
  metrics.idle_share = 0.136;
  return metrics;
}

std::vector<std::string> pieces(const std::string& text, char separator) {
  std::vector<std::string> all;
  std::istringstream in(text);
  for (std::string piece; std::getline(in, piece, separator);) all.push_back(piece);
  return all;
}

class ProgressTest : public testing::Test {
 protected:
  void SetUp() override {
    ::unsetenv("INTERLOCK_TERMINAL");
    ::unsetenv("COLUMNS");
    ::setenv("TERM", "xterm", 1);
  }
  void TearDown() override { SetUp(); }
};

// Without what only moves the cursor.
std::string visible(std::string text) {
  for (const std::string_view code : {"\x1b[K", "\r", "\n"})
    for (size_t at; (at = text.find(code)) != std::string::npos;) text.erase(at, code.size());
  return text;
}

// What stands on the screen at the end, line by line: of every line what was drawn last.
std::vector<std::string> shown_lines(const std::string& text) {
  std::vector<std::string> lines;
  for (const std::string& line : pieces(text, '\n')) {
    std::string drawn = line;
    while (drawn.ends_with('\r')) drawn.pop_back();  // a terminal's end of line is two characters
    drawn = visible(drawn.substr(drawn.rfind('\r') + 1));
    if (!drawn.empty()) lines.push_back(drawn);
  }
  return lines;
}

TEST_F(ProgressTest, LineSaysEverything) {
  auto metrics = at_step(12);
  metrics.validation_loss = 2.9;
  EXPECT_EQ(progress_line("quickstart", metrics, 600, 92.4, 0),
            "quickstart  step 12/600  loss 2.8412  held-out 2.9000  12.3k tokens/s  idle 14 %  1:32 left");
  EXPECT_THAT(progress_line("", metrics, 600, 3723.0, 0), HasSubstr("  1:02:03 left"));
  EXPECT_THAT(progress_line("", metrics, 600, 3723.0, 0, "samples"), HasSubstr("  12.3k samples/s  "));
  EXPECT_THAT(progress_line("", metrics, 600, std::nullopt, 0), Not(HasSubstr("left")));
}

TEST_F(ProgressTest, LineFitsEveryWidth) {
  auto metrics = at_step(123'456);
  metrics.validation_loss = 2.9;
  for (int width = 1; width < 120; ++width) {
    const auto line = progress_line("a-rather-long-label", metrics, 999'999, 1e7, width);
    EXPECT_LE(line.size(), static_cast<size_t>(width));
    EXPECT_EQ(line.find('\n'), std::string::npos);
  }
  // An evaluation, which is rare, outlives the time left; step and loss are the last to go.
  EXPECT_EQ(progress_line("label", metrics, 999'999, 60, 52), "step 123456/999999  loss 2.8412  held-out 2.9000");
  EXPECT_EQ(progress_line("label", metrics, 999'999, 60, 35), "step 123456/999999  loss 2.8412");
  EXPECT_EQ(progress_line("label", metrics, 999'999, 60, 20), "step 123456/999999");
}

TEST(Progress, AHugeLossStaysShort) {
  StepMetrics metrics = at_step(3);
  const auto shown = [&](double loss) {
    metrics.loss = loss;
    const std::string line = progress_line("", metrics, 9, std::nullopt, 0);
    return line.substr(line.find("loss "), line.find("  ", line.find("loss ")) - line.find("loss "));
  };
  EXPECT_EQ(shown(9999.5), "loss 9999.5000");
  EXPECT_EQ(shown(123456.7), "loss 1.235e+05");
  EXPECT_EQ(shown(-3e300), "loss -3e+300");
  EXPECT_EQ(shown(std::numeric_limits<double>::infinity()), "loss inf");
  EXPECT_EQ(shown(std::numeric_limits<double>::quiet_NaN()), "loss nan");
}

TEST_F(ProgressTest, FileGetsFirstLastAndEvaluations) {
  testing::internal::CaptureStderr();
  Progress progress("run", 50, 3600);
  for (int64_t step = 1; step <= 50; ++step) {
    auto metrics = at_step(step);
    if (step == 25) metrics.validation_loss = 3.0;
    progress.show(metrics);
  }
  progress.finish();
  const std::string text = testing::internal::GetCapturedStderr();
  EXPECT_EQ(text.find('\r'), std::string::npos);
  const auto lines = pieces(text, '\n');
  ASSERT_EQ(lines.size(), 3u) << text;
  EXPECT_THAT(lines[0], HasSubstr("step 1/50"));
  EXPECT_THAT(lines[1], HasSubstr("step 25/50  loss 2.8412  held-out 3.0000"));
  EXPECT_THAT(lines[2], HasSubstr("step 50/50"));
}

TEST_F(ProgressTest, FileGetsALineEachInterval) {
  testing::internal::CaptureStderr();
  Progress progress("run", 5, 0);
  for (int64_t step = 1; step <= 5; ++step) progress.show(at_step(step));
  EXPECT_EQ(pieces(testing::internal::GetCapturedStderr(), '\n').size(), 5u);
}

TEST_F(ProgressTest, LauncherMayVouchForTheTerminal) {
  ::setenv("INTERLOCK_TERMINAL", "1", 1);
  ::setenv("COLUMNS", "40", 1);
  testing::internal::CaptureStderr();
  Progress progress("run", 3, 0);
  for (int64_t step = 1; step <= 3; ++step) progress.show(at_step(step));
  progress.finish();
  progress.finish();  // ends the line once
  const std::string text = testing::internal::GetCapturedStderr();
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1);
  const auto drawn = pieces(text, '\r');
  ASSERT_EQ(drawn.size(), 4u);  // nothing before the first
  for (size_t i = 1; i < drawn.size(); ++i) EXPECT_LE(visible(drawn[i]).size(), 39u) << drawn[i];
}

// Runs `body` with stderr on a terminal of `columns` columns; returns what came out of it.
template <class Body>
std::string on_terminal(unsigned short columns, Body body) {
  int master = -1, terminal = -1;
  const winsize size{24, columns, 0, 0};
  if (::openpty(&master, &terminal, nullptr, nullptr, &size) != 0) return "no terminal";
  const int old = ::dup(2);
  ::dup2(terminal, 2);
  body();
  ::dup2(old, 2);
  ::close(old);
  ::close(terminal);
  // The kernel hands it over piece by piece; when the last writer is gone and all is read, reading fails.
  std::string text;
  std::array<char, 4096> buffer{};
  for (ssize_t count; (count = ::read(master, buffer.data(), buffer.size())) > 0;) {
    text.append(buffer.data(), static_cast<size_t>(count));
  }
  ::close(master);
  return text;
}

// An evaluation is what a person comes back for: its line stays, with a line of its own, and the status line goes on
// below it.
TEST_F(ProgressTest, EvaluationsStayAboveTheStatusLine) {
  const auto text = on_terminal(60, [] {
    Progress progress("run", 1000);
    auto metrics = at_step(998);
    metrics.validation_loss = 2.5;
    progress.show(metrics);
    progress.show(at_step(999));  // goes on showing the latest evaluation
    progress.show(at_step(1000));
  });
  if (text == "no terminal") GTEST_SKIP() << "this machine gives no pseudo-terminals";
  const auto lines = shown_lines(text);
  ASSERT_EQ(lines.size(), 2u) << text;
  EXPECT_THAT(lines[0], HasSubstr("step 998/1000  loss 2.8412  held-out 2.5000"));
  EXPECT_THAT(lines[1], HasSubstr("step 1000/1000  loss 2.8412  held-out 2.5000"));
  for (const auto& line : lines) EXPECT_LE(line.size(), 59u);
}

// The window that a person narrows, not the one that the run began in; and not COLUMNS, which stays as it was.
TEST_F(ProgressTest, TheLineFollowsTheWindow) {
  ::setenv("COLUMNS", "200", 1);
  const auto text = on_terminal(120, [] {
    Progress progress("run", 1000);
    progress.show(at_step(1));
    const winsize narrow{24, 40, 0, 0};
    ::ioctl(2, TIOCSWINSZ, &narrow);
    progress.show(at_step(2));
  });
  if (text == "no terminal") GTEST_SKIP() << "this machine gives no pseudo-terminals";
  const auto drawn = pieces(text, '\r');
  ASSERT_GE(drawn.size(), 3u) << text;
  EXPECT_GT(visible(drawn[1]).size(), 40u);
  EXPECT_LE(visible(drawn[2]).size(), 39u);
  EXPECT_THAT(drawn[2], Not(HasSubstr("  \x1b")));  // no padding that would wrap
}

TEST_F(ProgressTest, ATerminalThatCannotRedrawGetsPlainLines) {
  for (const char* kind : {"dumb", ""}) {
    ::setenv("TERM", kind, 1);
    const auto text = on_terminal(80, [] {
      Progress progress("run", 3, 3600);
      for (int64_t step = 1; step <= 3; ++step) progress.show(at_step(step));
    });
    if (text == "no terminal") GTEST_SKIP() << "this machine gives no pseudo-terminals";
    EXPECT_EQ(text.find('\x1b'), std::string::npos) << text;
    EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 2) << text;
  }
}

TEST_F(ProgressTest, ALogLineTakesThePlaceOfTheStatusLine) {
  const auto text = on_terminal(80, [] {
    Progress progress("run", 3);
    progress.show(at_step(1));
    say_error("something");
    progress.show(at_step(2));
  });
  if (text == "no terminal") GTEST_SKIP() << "this machine gives no pseudo-terminals";
  const auto lines = shown_lines(text);
  ASSERT_EQ(lines.size(), 2u) << text;
  EXPECT_EQ(lines[0], "interlock: error: something");
  EXPECT_THAT(lines[1], StartsWith("run  step 2/3"));
}

TEST_F(ProgressTest, ClassesShowTheirAccuracy) {
  auto metrics = at_step(12);
  metrics.validation_loss = 2.9;
  metrics.validation_scores = {{"accuracy", 0.838}, {"f1", 0.5}};
  EXPECT_THAT(progress_line("", metrics, 600, std::nullopt, 0), HasSubstr("held-out 2.9000  accuracy 0.838  "));
}

}  // namespace
}  // namespace interlock
