// Suggestions for unknown names, and the registry that uses them.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runtime/core/error.h"
#include "runtime/core/nearest_name.h"
#include "runtime/core/registry.h"

namespace interlock {
namespace {

TEST(NearestName, FindsTheSmallestDistance) {
  const std::vector<std::string> known{"horizon", "head", "heads", "window"};
  EXPECT_EQ(nearest_name("horizn", known), "horizon");    // deletion
  EXPECT_EQ(nearest_name("horizzon", known), "horizon");  // insertion
  EXPECT_EQ(nearest_name("hoxizon", known), "horizon");   // substitution
  EXPECT_EQ(nearest_name("heads", known), "heads");
  EXPECT_EQ(nearest_name("widnow", known), "window");
}

TEST(NearestName, SuggestsNothingFarAway) {
  EXPECT_EQ(nearest_name("temperature", {"horizon", "head"}), "");
  EXPECT_EQ(nearest_name("ab", {"xy"}), "");
  EXPECT_EQ(nearest_name("x", {}), "");
  // The bound is max(2, length / 3): of nine letters three may differ, of six only two.
  EXPECT_EQ(nearest_name("wavefxyz", {"wavefront"}), "");
  EXPECT_EQ(nearest_name("xyzefront", {"wavefront"}), "wavefront");
  EXPECT_EQ(nearest_name("xyzfro", {"wavfro"}), "");
}

TEST(UnknownName, SaysWhatIsKnown) {
  EXPECT_EQ(unknown_name("schedule", "wavefrnt", {"gpipe", "wavefront"}),
            "unknown schedule \"wavefrnt\"; did you mean \"wavefront\"? Known: gpipe, wavefront");
  EXPECT_EQ(unknown_name("schedule", "zzz", {"gpipe", "wavefront"}),
            "unknown schedule \"zzz\"; known: gpipe, wavefront");
  EXPECT_EQ(unknown_name("schedule", "zzz", {}), "unknown schedule \"zzz\"; none is known");
}

TEST(Join, PutsTheSeparatorBetween) {
  EXPECT_EQ(join({"a", "b", "c"}), "a, b, c");
  EXPECT_EQ(join({"a"}), "a");
  EXPECT_EQ(join({}), "");
  EXPECT_EQ(join({"a", "b"}, "+"), "a+b");
}

struct Shape {
  explicit Shape(int given) : corners(given) {}
  int corners;
};
const Registration<Shape, int> registered("square", [](int more) { return std::make_unique<Shape>(4 + more); });

TEST(Registry, MakesByNameAndRefusesOthers) {
  const auto& shapes = Registry<Shape, int>::instance();
  EXPECT_EQ(shapes.create("shape", "square", 1)->corners, 5);
  EXPECT_THAT(shapes.names(), testing::ElementsAre("square"));
  try {
    shapes.create("shape", "sqare", 1);
    ADD_FAILURE() << "an unknown name was taken";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::config);
    EXPECT_STREQ(error.what(), "unknown shape \"sqare\"; did you mean \"square\"? Known: square");
  }
}

}  // namespace
}  // namespace interlock
