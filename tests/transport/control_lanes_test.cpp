// Lanes of control messages: all distinct, by name and by MPI tag, and out of the way of pipeline and collectives.
#include "parallel/transport/control_lanes.h"

#include <gmock/gmock.h>

#include <set>

#include "parallel/transport/mpi_tags.h"

namespace interlock {
namespace {

TEST(ControlLanes, AreDistinct) {
  std::set<Lane> lanes;
  std::set<int> tags;
  for (const Lane& lane : control_lanes) {
    EXPECT_TRUE(lanes.insert(lane).second) << lane_tag(lane);
    EXPECT_TRUE(tags.insert(lane_tag(lane)).second) << lane_tag(lane);
  }
}

// Boundaries and groups take any number of their kinds.
TEST(ControlLanes, AreOfNoKindThatIsNumberedByBoundaryOrGroup) {
  for (const Lane& lane : control_lanes)
    EXPECT_THAT(lane.kind, testing::AnyOf(MessageKind::report, MessageKind::weights));
}

}  // namespace
}  // namespace interlock
