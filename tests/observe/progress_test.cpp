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

namespace interlock {
namespace {

using testing::HasSubstr;
using testing::Not;

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
  }
  void TearDown() override { SetUp(); }
};

TEST_F(ProgressTest, LineSaysEverything) {
  auto metrics = at_step(12);
  metrics.validation_loss = 2.9;
  EXPECT_EQ(progress_line("quickstart", metrics, 600, 92.4, 0),
            "quickstart  step 12/600  loss 2.8412  held-out 2.9000  12.3k tokens/s  idle 14 %  1:32 left");
  EXPECT_THAT(progress_line("", metrics, 600, 3723.0, 0), HasSubstr("  1:02:03 left"));
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
  // Step and loss are the last to go.
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
  for (size_t i = 1; i < drawn.size(); ++i) EXPECT_EQ(drawn[i].find_last_not_of('\n') + 1, 39u) << drawn[i];
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

TEST_F(ProgressTest, TerminalWidthIsAskedFor) {
  const auto text = on_terminal(60, [] {
    Progress progress("run", 1000);
    auto metrics = at_step(999);
    metrics.validation_loss = 2.5;
    progress.show(metrics);
    progress.show(at_step(1000));  // goes on showing the latest evaluation
  });
  if (text == "no terminal") GTEST_SKIP() << "this machine gives no pseudo-terminals";
  const auto drawn = pieces(text, '\r');
  ASSERT_EQ(drawn.size(), 4u) << text;
  EXPECT_EQ(drawn[3], "\n");  // the end of a Progress ends its line
  for (size_t i = 1; i < 3; ++i) {
    EXPECT_EQ(drawn[i].size(), 59u);
    EXPECT_THAT(drawn[i], HasSubstr("held-out 2.5000"));
  }
  EXPECT_THAT(drawn[2], HasSubstr("0:00 left"));
}

}  // namespace
}  // namespace interlock
