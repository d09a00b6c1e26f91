// What `doctor --cluster` makes of answers that are known, and what it asks, over ranks that are threads.
#include <gmock/gmock.h>
#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <mutex>
#include <nlohmann/json.hpp>
#include <thread>

#include "launch/cluster_check/cluster_report.h"
#include "launch/cluster_check/shared_folder.h"
#include "parallel/transport/group.h"
#include "parallel/transport/loopback.h"

namespace interlock {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;
using Status = Check::Status;

// Four ranks on two hosts that have nothing wrong.
ClusterFacts good_facts() {
  ClusterFacts facts;
  for (int rank = 0; rank < 4; ++rank) {
    RankFacts one;
    one.host = rank < 2 ? "node1" : "node2";
    one.program = one.config = std::string(64, 'a');
    one.processor = "AVX2";
    one.mpi = "Open MPI v4.1.4";
    one.libraries = {{"libtorch_cpu.so", "11"}, {"libz.so.1", "22"}};
    one.processors = {0, 1, 2, 3};
    one.processors_of_host = 4;
    one.threads = 2;
    one.available_memory = 8e9;
    facts.ranks.push_back(one);
  }
  facts.clock_offsets = {0, 0, 0.001, 0.001};
  facts.folder_problems = {"", "", "", ""};
  facts.forecast = {1e9, 2e9, 3e9, 4e9};
  facts.links = {{0, 1, 10, 8000}, {1, 2, 30, 900}, {2, 3, 11, 8100}};
  facts.message_bytes = 1 << 20;
  facts.folder = "runs/x";
  facts.processes = 4;
  return facts;
}

Check row(const ClusterFacts& facts, const std::string& name) {
  for (const Check& check : judge(facts))
    if (check.name == name) return check;
  ADD_FAILURE() << "no row " << name;
  return {};
}

// That one thing is wrong, and nothing else.
void expect_only(const ClusterFacts& facts, const std::string& name, Status status, const std::string& found) {
  for (const Check& check : judge(facts)) {
    EXPECT_EQ(check.status, check.name == name ? status : Status::ok) << check.name << ": " << check.found;
    if (check.name != name) continue;
    EXPECT_THAT(check.found, HasSubstr(found));
    EXPECT_NE(check.advice, "") << name;
  }
}

TEST(Judge, NothingIsWrong) {
  ClusterFacts facts = good_facts();
  facts.links[1].mib_per_second = 3000;  // a network that keeps up
  for (const Check& check : judge(facts)) {
    EXPECT_EQ(check.status, Status::ok) << check.name << ": " << check.found;
    EXPECT_EQ(check.advice, "");
  }
}

TEST(Judge, EachFaultIsItsOwnRow) {
  const ClusterFacts base = [] {
    ClusterFacts facts = good_facts();
    facts.links[1].mib_per_second = 3000;
    return facts;
  }();
  const auto with = [&](const auto& change) {
    ClusterFacts facts = base;
    change(facts);
    return facts;
  };
  expect_only(with([](auto& f) { f.processes = 8; }), "ranks", Status::fail, "the config asks for 8");
  expect_only(with([](auto& f) { f.ranks[3].program = "b"; }), "program", Status::fail, "node2");
  expect_only(with([](auto& f) { f.ranks[2].config = "b"; }), "config", Status::fail, "node2");
  expect_only(with([](auto& f) { f.ranks[2].mpi = "Open MPI v5"; }), "mpi", Status::fail, "node2");
  expect_only(with([](auto& f) { f.ranks[2].libraries["libtorch_cpu.so"] = "12"; }), "libraries", Status::fail,
              "libtorch_cpu.so on node2");
  expect_only(with([](auto& f) { f.ranks[2].libraries.erase("libz.so.1"); }), "libraries", Status::warn, "libz.so.1");
  // Open MPI opens its shared memory only where a rank has a neighbour on its host.
  const ClusterFacts alone = with([](auto& f) { f.ranks[2].libraries["mca_btl_vader.so"] = "33"; });
  EXPECT_EQ(row(alone, "libraries").status, Status::ok);
  expect_only(with([](auto& f) { f.ranks[2].processor = "AVX512"; }), "processor", Status::warn, "node2");
  expect_only(with([](auto& f) { f.ranks[2].processors = {0}; }), "threads", Status::warn,
              "bound to fewer processors than threads: rank 2 on node2 (2 threads on 0)");
  expect_only(with([](auto& f) { f.ranks[0].threads = f.ranks[1].threads = 4; }), "threads", Status::warn,
              "more threads than processors: all ranks on node1 (8 threads on 0-3)");
  expect_only(with([](auto& f) { f.forecast[3] = 6e9; }), "memory", Status::fail, "node2 (8.4 GiB of 7.5 GiB)");
  expect_only(with([](auto& f) { f.forecast[3] = 4.5e9; }), "memory", Status::warn, "94 %");
  expect_only(with([](auto& f) { f.clock_offsets[2] = -90; }), "clock", Status::warn, "90.0 s apart: node2");
  expect_only(with([](auto& f) { f.folder_problems[3] = "does not see it"; }), "run folder", Status::fail,
              "node2 does not see it");
  // Memory that ranks share is faster than any network: that alone is no fault.
  const ClusterFacts ordinary = with([](auto& f) { f.links[1].mib_per_second = 400, f.links[1].latency_us = 110; });
  EXPECT_EQ(row(ordinary, "links").status, Status::ok) << row(ordinary, "links").found;
  expect_only(with([](auto& f) { f.links[1].latency_us = 900; }), "links", Status::warn, "1-2 (node1, node2)");
  const ClusterFacts far = with([](auto& f) { f.links[1].mib_per_second = 90; });
  expect_only(far, "links", Status::warn, "1-2 (node1, node2)");
  EXPECT_THAT(row(far, "links").advice, HasSubstr("btl_tcp_if_include"));
  const ClusterFacts near = with([](auto& f) { f.links[2].mib_per_second = 100; });
  expect_only(near, "links", Status::warn, "2-3 (node2, node2)");
  EXPECT_THAT(row(near, "links").advice, HasSubstr("other programs on it")) << "no network lies between them";
}

// As mpirun binds two ranks of a host to the same processor, and as srun gives a step one of many: there is room beside
// it, so fewer ranks are no cure.
TEST(Judge, RanksThatShareABindingLackProcessorsThoughTheHostHasThem) {
  ClusterFacts facts = good_facts();
  facts.links[1].mib_per_second = 3000;
  for (RankFacts& rank : facts.ranks) rank.threads = 1;
  facts.ranks[0].processors = facts.ranks[1].processors = {3};
  expect_only(facts, "threads", Status::warn,
              "bound to fewer processors than threads: all ranks on node1 (2 threads on 3)");
  EXPECT_THAT(row(facts, "threads").advice, HasSubstr("--bind-to none"));
  facts.ranks[2].host = "node1";  // it has the other three, and those two still share one
  expect_only(facts, "threads", Status::warn,
              "bound to fewer processors than threads: ranks 0-1 on node1 (2 threads on 3)");
  facts.ranks[1].processors = {1, 3};
  EXPECT_EQ(row(facts, "threads").status, Status::ok);
}

TEST(Judge, RanksOfOneHostThatDifferAreToldApart) {
  ClusterFacts facts = good_facts();
  for (RankFacts& rank : facts.ranks) rank.host = "vm";
  facts.ranks[2].config = facts.ranks[3].config = "b";
  EXPECT_EQ(row(facts, "config").found, "not as rank 0 on vm: vm (ranks 2-3)");
  facts.ranks[1].libraries["libtorch_cpu.so"] = "12";
  EXPECT_EQ(row(facts, "libraries").found, "not as rank 0 on vm: libtorch_cpu.so on vm (rank 1)");
}

TEST(Judge, LinksThatTheRunSlowsDownAreWarnedOf) {
  ClusterFacts facts = good_facts();
  facts.links[1].mib_per_second = 3000;
  facts.slowed = {1e6, 0.01};
  expect_only(facts, "links", Status::warn, "slowed down to 1e+06 bytes/s and 0.01 s");
  EXPECT_EQ(cluster_json(facts, judge(facts))["slowed_links"], nlohmann::json({{"bandwidth", 1e6}, {"latency", 0.01}}));
}

TEST(Judge, WithoutAConfigMemoryIsNotJudged) {
  ClusterFacts facts = good_facts();
  for (RankFacts& rank : facts.ranks) rank.config = "";
  facts.processes = 0;
  facts.forecast.clear();
  facts.no_forecast = "not forecast";
  EXPECT_EQ(row(facts, "config").status, Status::ok);
  EXPECT_EQ(row(facts, "memory").found, "not forecast");
}

TEST(Judge, OneProcessAloneIsWarnedOf) {
  ClusterFacts facts = good_facts();
  facts.ranks.resize(1);
  facts.links.clear();
  facts.clock_offsets.resize(1);
  facts.folder_problems.resize(1);
  facts.processes = 0;
  EXPECT_EQ(row(facts, "ranks").status, Status::warn);
  EXPECT_EQ(row(facts, "links").status, Status::ok);
}

TEST(Report, HostsAreSumsOfTheirRanks) {
  ClusterFacts facts = good_facts();
  facts.ranks[3].processors = {4, 5};
  facts.ranks[3].available_memory = 7e9;
  const auto hosts = hosts_of(facts);
  ASSERT_EQ(hosts.size(), 2u);
  EXPECT_EQ(hosts[1].name, "node2");
  EXPECT_THAT(hosts[1].ranks, ElementsAre(2, 3));
  EXPECT_THAT(hosts[1].processors, ElementsAre(0, 1, 2, 3, 4, 5));
  EXPECT_EQ(hosts[1].threads, 4);
  EXPECT_EQ(hosts[1].available_memory, 7e9);
  EXPECT_EQ(hosts[1].forecast_memory, 7e9);
  EXPECT_EQ(hosts[1].clock_offset, 0.001);
}

TEST(Report, JsonHasTheNamesThatOthersReadAndTextTheSameNumbers) {
  const ClusterFacts facts = good_facts();
  const auto checks = judge(facts);
  const nlohmann::json report = cluster_json(facts, checks);
  EXPECT_EQ(report["hosts"].size(), 2u);
  EXPECT_EQ(report["pairs"][1],
            (nlohmann::json{{"from", 1}, {"to", 2}, {"latency_us", 30.0}, {"mib_per_second", 900.0}}));
  EXPECT_EQ(report["ok"], true);
  EXPECT_EQ(report["checks"].size(), checks.size());
  const std::string text = cluster_text(facts, checks);
  EXPECT_THAT(text, HasSubstr("node2"));
  EXPECT_THAT(text, HasSubstr("     1     2         30.0        900.0\n"));
}

TEST(Report, RangesOfNumbers) {
  EXPECT_EQ(ranges_text({}), "");
  EXPECT_EQ(ranges_text({3}), "3");
  EXPECT_EQ(ranges_text({0, 1, 2, 5, 7, 8}), "0-2,5,7-8");
}

TEST(Links, NeighboursAreThoseOfThePlan) {
  PlanShape shape;
  shape.stages = 4;
  shape.ranks = 2;
  shape.placement = Placement::named("contiguous", 4, 2);
  EXPECT_THAT(neighbour_pairs(shape), ElementsAre(Pair(0, 1)));
  shape.placement = Placement::named("interleaved", 4, 2);  // 0 1 0 1: the same two, back and forth
  shape.replicas = 2;
  EXPECT_THAT(neighbour_pairs(shape), ElementsAre(Pair(0, 1), Pair(2, 3)));
  shape = {};
  shape.stages = shape.ranks = 4;
  shape.placement = Placement::named("contiguous", 4, 4);
  EXPECT_THAT(neighbour_pairs(shape), ElementsAre(Pair(0, 1), Pair(1, 2), Pair(2, 3)));
}

TEST(Links, NoRankIsInTwoPairsOfARound) {
  const auto rounds = in_rounds({{0, 1}, {1, 2}, {2, 3}, {3, 0}, {0, 2}});
  size_t pairs = 0;
  for (const auto& round : rounds) {
    std::set<int> ranks;
    for (const auto& [from, to] : round) {
      EXPECT_TRUE(ranks.insert(from).second && ranks.insert(to).second);
      ++pairs;
    }
  }
  EXPECT_EQ(pairs, 5u);
  EXPECT_EQ(in_rounds({{0, 1}, {1, 2}, {2, 3}}).size(), 2u) << "a chain takes two rounds";
}

TEST(Links, EveryPairIsMeasuredAndToldOnRankZero) {
  std::vector<Link> links;
  run_loopback(4, [&](Transport& transport) {
    Group world = Group::of_all(transport);
    const auto measured = measure_links(transport, world, {{0, 1}, {1, 2}, {2, 3}}, 1 << 16);
    if (transport.rank() == 0) links = measured;
  });
  ASSERT_EQ(links.size(), 3u);
  std::set<std::pair<int, int>> pairs;
  for (const Link& link : links) {
    pairs.emplace(link.from, link.to);
    EXPECT_GT(link.latency_us, 0);
    EXPECT_LT(link.latency_us, 1e6);
    EXPECT_GT(link.mib_per_second, 0);
  }
  EXPECT_THAT(pairs, ElementsAre(Pair(0, 1), Pair(1, 2), Pair(2, 3)));
}

TEST(Links, ThreadsOfOneProcessHaveOneClock) {
  run_loopback(3, [](Transport& transport) {
    const std::vector<double> offsets = clock_offsets(transport);
    if (transport.rank() != 0) return;
    ASSERT_EQ(offsets.size(), 3u);
    for (const double offset : offsets) EXPECT_LT(std::abs(offset), 0.05);  // a trip that took 0.1 s on a busy machine
  });
}

class SharedFolder : public testing::Test {
 protected:
  SharedFolder() {
    char pattern[] = "/tmp/interlock-shared-XXXXXX";
    folder_ = mkdtemp(pattern);
  }
  ~SharedFolder() override { std::filesystem::remove_all(folder_); }
  // With each rank's own path of the run folder.
  std::vector<std::string> check(const std::vector<std::string>& paths) {
    std::vector<std::string> problems;
    run_loopback(static_cast<int>(paths.size()), [&](Transport& transport) {
      Group world = Group::of_all(transport);
      const auto told = check_shared_folder(world, paths[transport.rank()], std::chrono::milliseconds(300));
      if (transport.rank() == 0) problems = told;
    });
    return problems;
  }
  std::filesystem::path folder_;
};

TEST_F(SharedFolder, OneThatAllSeeAndLockIsLeftAsItWas) {
  EXPECT_THAT(check({folder_ / "run", folder_ / "run", folder_ / "run"}), ElementsAre("", "", ""));
  EXPECT_TRUE(std::filesystem::is_empty(folder_));
}

TEST_F(SharedFolder, OneOfAHostsOwnIsFound) {
  std::filesystem::create_directories(folder_ / "a");
  std::filesystem::create_directories(folder_ / "b");
  EXPECT_THAT(check({folder_ / "a", folder_ / "a", folder_ / "b"}),
              ElementsAre("", "", HasSubstr("does not see a file that rank 0 made")));
  EXPECT_TRUE(std::filesystem::is_empty(folder_ / "a"));
  EXPECT_TRUE(std::filesystem::is_empty(folder_ / "b"));
}

TEST_F(SharedFolder, OneThatCannotBeWrittenIsFound) {
  EXPECT_THAT(check({"/proc/run", folder_ / "run"}),
              ElementsAre(HasSubstr("cannot write in /proc"), HasSubstr("does not see")));
}

TEST(RankFacts, TravelAsTheyAre) {
  const RankFacts here = facts_of_this_rank("digest", 3, "some MPI");
  char host[256] = "";
  gethostname(host, sizeof host - 1);
  EXPECT_EQ(here.host, host);
  EXPECT_EQ(here.program.size(), 64u);
  EXPECT_FALSE(here.processors.empty());
  EXPECT_GT(here.available_memory, 0);
  const auto torch = here.libraries.find("libtorch_cpu.so");
  ASSERT_NE(torch, here.libraries.end());
  EXPECT_THAT(torch->second, testing::Not(IsEmpty()));
  const RankFacts there = unpacked(packed(here));
  EXPECT_EQ(packed(there), packed(here));
  EXPECT_EQ(there.processors, here.processors);
  EXPECT_EQ(there.libraries, here.libraries);
}

}  // namespace
}  // namespace interlock
