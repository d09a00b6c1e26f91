// Which transport carries what ranks compute on GPUs, and why; without a GPU, over NCCL's stand-in.
#include "launch/run/device_transport.h"

#include <gmock/gmock.h>

#include "parallel/transport/loopback.h"
#include "runtime/core/error.h"
#include "tests/support/nccl_stand_in.h"
#include "tests/support/run_for_test.h"

namespace interlock {
namespace {

using testing::AllOf;
using testing::HasSubstr;

Device a_gpu() {
  Device device;
  device.at = at::Device(at::kCUDA, 0);
  device.name = "GPU 0";
  return device;
}

struct Outcome {
  bool nccl = false;
  std::string reason;
};

// Of all ranks, which must agree; an error's text as the reason.
Outcome outcome(const std::string& wanted, const Device& device, NcclStandIn* world, int ranks = 2) {
  const RunSettings settings = settings_for_test({"parallel.transport=" + wanted, message("parallel.ranks=", ranks)});
  std::vector<Outcome> found(ranks);
  try {
    run_loopback(ranks, [&](Transport& host) {
      std::shared_ptr<NcclCalls> calls;
      if (world) calls = {std::shared_ptr<void>(), &world->gpu(host.rank())};
      std::string problem = "the CUDA module was built without NCCL";
      if (device.is_cpu()) module_nccl(device, problem);
      const DeviceTransport chosen = choose_device_transport(settings, host, device, calls, problem);
      found[host.rank()] = {chosen.transport != nullptr, chosen.reason};
    });
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::config);
    return {false, message("error: ", error.what())};
  }
  for (const Outcome& other : found) {
    EXPECT_EQ(other.nccl, found[0].nccl);
    EXPECT_EQ(other.reason, found[0].reason);
  }
  return found[0];
}

TEST(DeviceTransport, AutoTakesNcclWhereEveryRankHasAGpu) {
  NcclStandIn world(2);
  const Outcome found = outcome("auto", a_gpu(), &world);
  EXPECT_TRUE(found.nccl);
  EXPECT_THAT(found.reason, HasSubstr("every rank has a GPU"));
  EXPECT_TRUE(outcome("nccl", a_gpu(), &world).nccl);
}

TEST(DeviceTransport, AutoGoesThroughTheHostAndSaysWhy) {
  NcclStandIn shared(2);
  shared.facts(1).uuid = shared.facts(0).uuid;
  const Outcome found = outcome("auto", a_gpu(), &shared);
  EXPECT_FALSE(found.nccl);
  EXPECT_THAT(found.reason, HasSubstr("ranks 0 and 1 share the GPU"));
  EXPECT_THAT(outcome("auto", a_gpu(), nullptr).reason, HasSubstr("rank 0: the CUDA module was built without NCCL"));
  EXPECT_THAT(outcome("auto", Device{}, nullptr).reason, HasSubstr("on the CPU"));
  EXPECT_THAT(outcome("auto", a_gpu(), &shared, 1).reason, HasSubstr("one rank"));
  NcclStandIn apart(2);
  EXPECT_FALSE(outcome("mpi", a_gpu(), &apart).nccl);
}

TEST(DeviceTransport, NcclThatCannotBeHadIsASentence) {
  EXPECT_THAT(
      outcome("nccl", Device{}, nullptr).reason,
      AllOf(HasSubstr("error: "), HasSubstr("parallel.transport = \"nccl\", but rank 0: it computes on the CPU"),
            HasSubstr("\"auto\" takes NCCL only where it can be had")));
  EXPECT_THAT(outcome("nccl", a_gpu(), nullptr).reason, HasSubstr("the CUDA module was built without NCCL"));
  NcclStandIn shared(2);
  shared.facts(1).uuid = shared.facts(0).uuid;
  EXPECT_THAT(outcome("nccl", a_gpu(), &shared).reason, HasSubstr("start one rank per GPU"));
  NcclStandIn versions(2);
  versions.facts(1).library = 23003;
  for (const char* wanted : {"auto", "nccl"})
    EXPECT_THAT(outcome(wanted, a_gpu(), &versions).reason, HasSubstr("rank 0 has NCCL 2.28.9, but rank 1 has 2.30.3"));
}

}  // namespace
}  // namespace interlock
