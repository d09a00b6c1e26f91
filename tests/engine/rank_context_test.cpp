// The groups of a rank and their lanes, over a transport that only writes down what it is asked for.
#include "parallel/engine/rank_context.h"

#include <gmock/gmock.h>

#include <span>

#include "parallel/transport/mpi_tags.h"

namespace interlock {
namespace {

class Done final : public Handle {
 public:
  bool done() override { return true; }
  void wait() override {}
};

// A rank of a run that is too large to be made.
class Written final : public Transport {
 public:
  Written(int rank, int size) : rank_(rank), size_(size) {}
  int rank() const override { return rank_; }
  int size() const override { return size_; }
  std::unique_ptr<Handle> send(int, const MessageHeader& header, Buffer) override { return noted(header); }
  std::unique_ptr<Handle> receive(int, const MessageHeader& header, Buffer) override { return noted(header); }
  std::unique_ptr<Handle> receive_any_size(int, const MessageHeader& header, MessageHeader*, Buffer*) override {
    return noted(header);
  }
  std::unique_ptr<Collectives> make_collectives(const std::vector<int>& members, int number, uint64_t) override {
    numbers[members] = number;
    return nullptr;
  }
  void abort(int, const std::string&) override {}
  TransportCounters counters() const override { return {}; }
  std::string description() const override { return ""; }

  std::vector<Lane> lanes;
  std::map<std::vector<int>, int> numbers;

 private:
  std::unique_ptr<Handle> noted(const MessageHeader& header) {
    lanes.push_back(header.lane);
    return std::make_unique<Done>();
  }
  const int rank_, size_;
};

// First and last stage share a tensor; the highest rank of all has the highest numbers.
TEST(RankContext, GroupsFitMpisTagsHoweverManyReplicasThereAre) {
  constexpr int ranks = 4;
  for (const int replicas : {2, 5000, 100000}) {
    Topology topology;
    topology.shape.stages = topology.shape.ranks = ranks;
    topology.shape.replicas = replicas;
    topology.shape.placement = Placement::named("contiguous", ranks, ranks);
    topology.world_rank = ranks * replicas - 1;
    Written transport(topology.world_rank, ranks * replicas);
    RankContext context(transport, topology, 1, {}, true);
    std::byte byte{};
    for (Group* group : {&context.world, &context.replicas, &context.pipeline})
      group->broadcast(std::span(&byte, 1), 0);
    const std::vector<int> ends{ranks * (replicas - 1), ranks * replicas - 1};
    transport.lanes.push_back({MessageKind::collective, transport.numbers.at(ends), 0});
    std::vector<int> tags;
    for (const Lane& lane : transport.lanes) EXPECT_NO_THROW(tags.push_back(lane_tag(lane))) << replicas << " replicas";
    // All four have two ranks in common with another one of them, so none may share a lane.
    std::ranges::sort(tags);
    EXPECT_EQ(tags.size(), 4u);
    EXPECT_EQ(std::ranges::adjacent_find(tags), tags.end());
  }
}

}  // namespace
}  // namespace interlock
