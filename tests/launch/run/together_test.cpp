// Ranks whose configs differ: each would train as its own says.
#include "launch/run/together.h"

#include <gmock/gmock.h>

#include <array>

#include "parallel/transport/loopback.h"

namespace interlock {
namespace {

using testing::AllOf;
using testing::HasSubstr;

// What every one of three ranks is told.
std::array<std::string, 3> told(const std::function<ConfigValues(int)>& values) {
  std::array<std::string, 3> words;
  run_loopback(3, [&](Transport& transport) {
    const auto refusal = compare_configs(transport, values(transport.rank()));
    words[static_cast<size_t>(transport.rank())] =
        refusal ? std::to_string(static_cast<int>(refusal->code())) + " " + refusal->what() : "";
  });
  return words;
}

TEST(Together, RanksWithOtherConfigsAreRefusedAlike) {
  const ConfigValues common{{"run.seed", "1"}, {"optimizer.learning_rate", "0.001"}};
  for (const std::string& word : told([&](int) { return common; })) EXPECT_EQ(word, "");
  for (const std::string& word : told([&](int rank) {
         ConfigValues own = common;
         if (rank == 2) own["optimizer.learning_rate"] = "0.5";
         return own;
       }))
    EXPECT_THAT(word,
                AllOf(HasSubstr("64 rank 2 on "), HasSubstr("optimizer.learning_rate is 0.5, and 0.001 on rank 0")));
  // A key that one of them alone has, on either side.
  for (const int who : {0, 1})
    for (const std::string& word : told([&](int rank) {
           ConfigValues own = common;
           if (rank == who) own["model.width"] = "64";
           return own;
         }))
      EXPECT_THAT(word, AllOf(HasSubstr("model.width is "), HasSubstr("not set")));
  // A host may have no GPU, or other processors.
  for (const std::string& word : told([&](int rank) {
         ConfigValues own = common;
         own["parallel.threads"] = own["run.device"] = own["monitor.listen"] = std::to_string(rank);
         return own;
       }))
    EXPECT_EQ(word, "");
}

}  // namespace
}  // namespace interlock
