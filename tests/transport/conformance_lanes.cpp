// For transports whose lanes do not wait for each other (Transport::ordered_pairs is false).
#include <gmock/gmock.h>

#include <array>

#include "runtime/core/error.h"
#include "tests/transport/conformance.h"

namespace interlock::conformance {
namespace {

constexpr Lane lane_a{MessageKind::activation, 2, 0}, lane_b{MessageKind::gradient, 2, 0},
    lane_c{MessageKind::gradient, 2, 1}, lane_d{MessageKind::gradient, 3, 1};

TEST(Lanes, LanesDoNotWaitForEachOther) {
  on_ranks([](Transport& transport) {
    if (transport.rank() > 1) return;
    const int other = 1 - transport.rank();
    // Sent in one order and received in the opposite one, each waited for before the next is posted.
    const std::array lanes{lane_a, lane_b, lane_c, lane_d};
    constexpr uint64_t bytes = 30'000;
    std::vector<std::unique_ptr<Handle>> sends;
    if (transport.rank() == 0) {
      for (size_t i = 0; i < lanes.size(); ++i) {
        sends.push_back(transport.send(other, header(lanes[i], bytes), patterned(i, bytes)));
      }
    } else {
      for (size_t i = lanes.size(); i-- > 0;) {
        const Buffer came = Buffer::allocate(bytes);
        transport.receive(other, header(lanes[i], bytes), came)->wait();
        EXPECT_TRUE(has_pattern(came, i, bytes)) << "lane " << i;
      }
    }
    for (auto& send : sends) send->wait();
  });
}

}  // namespace
}  // namespace interlock::conformance
