// The text that Prometheus reads, line by line as its format says.
#include "launch/monitor/prometheus.h"

#include <gmock/gmock.h>

#include <regex>
#include <sstream>

#include "tests/launch/monitor/pulses.h"

namespace interlock::test {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(Prometheus, EveryLineIsAMetricOrSaysWhatItIs) {
  RunStatus status;
  status.state = "running";
  status.step = 42;
  status.loss = 1.25;
  for (int rank = 0; rank < 3; ++rank) {
    RankStatus one{pulse_of(rank, 40 + rank, "0F0"), 0.5, std::nullopt};
    one.pulse.rss_mib = 2;
    status.ranks.push_back(one);
  }
  std::strcpy(status.ranks[1].pulse.host, "a\"b\\c");
  const std::string text = prometheus_text(status);
  const std::regex line(
      R"(# (HELP|TYPE) interlock_\w+ .+|interlock_\w+(\{rank="\d+",host="([^"\\]|\\.)*"\})? [-+.e\d]+)");
  std::istringstream lines(text);
  for (std::string one; std::getline(lines, one);) EXPECT_TRUE(std::regex_match(one, line)) << one;
  EXPECT_THAT(text, HasSubstr("# TYPE interlock_loss gauge\ninterlock_loss 1.25\n"));
  EXPECT_THAT(text, HasSubstr("interlock_running 1\n"));
  EXPECT_THAT(text, HasSubstr("interlock_rank_step{rank=\"1\",host=\"a\\\"b\\\\c\"} 41\n"));
  EXPECT_THAT(text, HasSubstr("interlock_rank_resident_bytes{rank=\"2\",host=\"far-away\"} 2097152\n"));
  EXPECT_THAT(text, Not(HasSubstr("idle"))) << "what is not known is left out";
  status.state = "stopped";
  EXPECT_THAT(prometheus_text(status), HasSubstr("interlock_running 0\n"));
}

}  // namespace
}  // namespace interlock::test
