// The metrics over HTTP, asked by plain sockets, and an invitation's way through a pipe.
#include "launch/heartbeat/metrics_server.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include "launch/heartbeat/invitation.h"
#include "runtime/core/error.h"
#include "tests/launch/heartbeat/stranger.h"

namespace interlock::test {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::StartsWith;

std::string answer(uint16_t port, const std::string& request) {
  const Stranger visitor(port);
  visitor.say(request);
  std::string all;
  for (std::string part = visitor.hear(); !part.empty(); part = visitor.hear()) all += part;
  return all;
}

TEST(Metrics, AreAnsweredAndNothingElseIs) {
  int asked = 0;
  const MetricsServer server({"127.0.0.1", 0}, [&] { return "interlock_step " + std::to_string(++asked) + "\n"; });
  const std::string found = answer(server.port(), "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_THAT(found, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(found, HasSubstr("Content-Type: text/plain; version=0.0.4"));
  EXPECT_THAT(found, HasSubstr("Content-Length: 17\r\n"));
  EXPECT_THAT(found, EndsWith("\r\n\r\ninterlock_step 1\n"));
  answer(server.port(), "GET /metrics HTTP/1.1\r\n\r\n");
  EXPECT_EQ(asked, 1) << "at most once a second";
  EXPECT_THAT(answer(server.port(), "GET /../etc/passwd HTTP/1.1\r\n\r\n"), StartsWith("HTTP/1.1 404"));
  EXPECT_THAT(answer(server.port(), "POST /metrics HTTP/1.1\r\n\r\n"), StartsWith("HTTP/1.1 405"));
  EXPECT_EQ(answer(server.port(), std::string(20'000, 'x')), "");
  EXPECT_THROW(MetricsServer({"127.0.0.1", server.port()}, [] { return ""; }), Error) << "a port in use";
}

TEST(Metrics, ATextThatCannotBeMadeIsAComment) {
  const MetricsServer server({"127.0.0.1", 0}, []() -> std::string { throw Error(ExitCode::bad_input, "gone"); });
  EXPECT_THAT(answer(server.port(), "GET /metrics HTTP/1.0\r\n\r\n"), EndsWith("# gone\n"));
}

TEST(Invitation, ComesOutOfAPipeAsItWentIn) {
  const Invitation invitation{{"127.0.0.1", 4711}, random_bytes()};
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  const std::string bytes = invitation.bytes();
  ASSERT_EQ(write(ends[1], bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
  close(ends[1]);
  const auto found = Invitation::from(read_invitation(ends[0], 5));
  close(ends[0]);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->head.text(), "127.0.0.1:4711");
  EXPECT_EQ(found->secret, invitation.secret);
  for (const std::string& bad : {std::string(), bytes.substr(0, bytes.size() - 1), bytes + "x",
                                 "host:1\n" + std::string(32, 'x'), std::string(300, 'x')})
    EXPECT_FALSE(Invitation::from(bad)) << bad.size();
}

// Whoever started the program has a terminal or an endless pipe there.
TEST(Invitation, NobodyWaitsLongNorReadsMuch) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  EXPECT_EQ(read_invitation(ends[0], 0.1), "");
  const std::string much(4096, 'x');
  ASSERT_GT(write(ends[1], much.data(), much.size()), 0);
  EXPECT_EQ(read_invitation(ends[0], 5), "");
  close(ends[0]);
  close(ends[1]);
}

TEST(ListenAddress, IsNumbersOnly) {
  EXPECT_EQ(ListenAddress::from("10.0.0.1:0")->text(), "10.0.0.1:0");
  for (const char* bad : {"localhost:1", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:1x", "::1:5", ":5"})
    EXPECT_FALSE(ListenAddress::from(bad)) << bad;
}

}  // namespace
}  // namespace interlock::test
