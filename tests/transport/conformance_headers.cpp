// For transports that send every header with its message.
#include <gmock/gmock.h>

#include <array>

#include "runtime/core/error.h"
#include "tests/transport/conformance.h"

namespace interlock::conformance {
namespace {

using testing::HasSubstr;

TEST(Headers, AnyDifferenceInTheHeaderFailsTheWaitAndPrintsBothSides) {
  using Change = void (*)(MessageHeader&);
  // All fields but the lane, which decides who meets whom. Each case has a lane of its own.
  static const std::vector<std::pair<Change, const char*>> changes{
      {[](MessageHeader& h) { h.run += 90'000; }, "run "},
      {[](MessageHeader& h) { h.step = 12'345; }, "step 12345"},
      {[](MessageHeader& h) { h.microbatch = 4711; }, "microbatch 4711"},
      {[](MessageHeader& h) { h.loss = 3; }, "loss 3"},
      {[](MessageHeader& h) { h.dtype = 7; }, "float64 [2, 3]"},
      {[](MessageHeader& h) { h.dimensions = 1; }, "float32 [2]"},
      {[](MessageHeader& h) {
         h.shape = {6, 1};
       },
       "float32 [6, 1]"},
      {[](MessageHeader& h) { h.bytes = 16; }, "16 bytes"},
  };
  on_ranks([](Transport& transport) {
    if (transport.rank() > 1) return;
    for (size_t i = 0; i < changes.size(); ++i) {
      MessageHeader expected = header({MessageKind::activation, 7, static_cast<int>(i)}, 24);
      expected.dtype = 6;
      expected.dimensions = 2;
      expected.shape = {2, 3};
      MessageHeader sent = expected;
      changes[i].first(sent);
      if (transport.rank() == 0) {
        transport.send(1, sent, patterned(1, sent.bytes))->wait();
        continue;
      }
      const auto receive = transport.receive(0, expected, Buffer::allocate(24));
      try {
        receive->wait();
        ADD_FAILURE() << "no error for another " << changes[i].second;
      } catch (const Error& error) {
        EXPECT_EQ(error.code(), ExitCode::gave_up);
        EXPECT_THAT(error.what(), HasSubstr(describe(expected)));
        EXPECT_THAT(error.what(), HasSubstr(describe(sent)));
        EXPECT_THAT(describe(sent), HasSubstr(changes[i].second));
        EXPECT_THAT(error.what(), HasSubstr("rank 1"));
        EXPECT_THAT(error.what(), HasSubstr("rank 0"));
      }
    }
  });
}

// The payload does not fit what was posted: nothing is written past the end, and both sides are printed.
TEST(Headers, ALongerPayloadThanExpectedFailsTheWait) {
  on_ranks([](Transport& transport) {
    const Lane lane{MessageKind::activation, 8, 0};
    if (transport.rank() == 0) transport.send(1, header(lane, 9'000), patterned(1, 9'000))->wait();
    if (transport.rank() != 1) return;
    const Buffer larger = patterned(5, 9'000);
    Buffer into = larger;
    into.bytes = 6'000;
    try {
      transport.receive(0, header(lane, 6'000), into)->wait();
      ADD_FAILURE() << "no error";
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr("6000 bytes"));
      EXPECT_THAT(error.what(), HasSubstr("9000 bytes"));
    }
    for (uint64_t i = 6'000; i < 9'000; ++i) ASSERT_EQ(larger.data[i], pattern(5, i)) << "byte " << i << " overwritten";
  });
}

}  // namespace
}  // namespace interlock::conformance
