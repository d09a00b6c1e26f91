// Two hosts on one machine: network namespaces with a link between them, which is cut, for a moment and for good. Needs
// root and iproute2; Open MPI reaches the other host through an agent of this test.
#include <gmock/gmock.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <thread>

#include "tests/support/small_project.h"

namespace interlock {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr double stall = 8;  // seconds

bool done(const Words& words) {
  CommandOptions options;
  options.seconds = 20;
  return run_command(words, options).code == 0;
}

class Network : public SmallProject {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "network namespaces need root";
    if (!done({"ip", "netns", "add", near_}) || !done({"ip", "netns", "add", far_}))
      GTEST_SKIP() << "this machine gives no network namespaces (ip netns add)";
    for (const Words& words : std::vector<Words>{{"ip", "link", "add", near_, "type", "veth", "peer", "name", far_},
                                                 {"ip", "link", "set", near_, "netns", near_},
                                                 {"ip", "link", "set", far_, "netns", far_},
                                                 in(near_, {"ip", "addr", "add", "10.77.0.1/24", "dev", near_}),
                                                 in(far_, {"ip", "addr", "add", "10.77.0.2/24", "dev", far_}),
                                                 in(near_, {"ip", "link", "set", near_, "up"}),
                                                 in(far_, {"ip", "link", "set", far_, "up"}),
                                                 in(near_, {"ip", "link", "set", "lo", "up"}),
                                                 in(far_, {"ip", "link", "set", "lo", "up"})})
      ASSERT_TRUE(done(words)) << words[1] << " " << words[2];
    // agent HOST COMMAND...: in the other namespace, under a name of its own, or mpirun takes it for this host.
    write("agent", "#!/bin/sh\nshift\nexec ip netns exec " + far_ + " unshare --uts sh -c \"hostname far; $*\"\n");
    std::filesystem::permissions(path("agent"), std::filesystem::perms::owner_all);
    write("hosts", "10.77.0.1 slots=2\n10.77.0.2 slots=2\n");
    for (const auto& [name, value] :
         std::vector<std::pair<std::string, std::string>>{{"plm_rsh_agent", path("agent").string()},
                                                          {"orte_default_hostfile", path("hosts").string()},
                                                          {"oob_tcp_if_include", "10.77.0.0/24"},
                                                          {"btl_tcp_if_include", "10.77.0.0/24"},
                                                          {"btl", "tcp,self"}})
      setenv(("OMPI_MCA_" + name).c_str(), value.c_str(), 1);
  }
  void TearDown() override {
    for (const char* name :
         {"plm_rsh_agent", "orte_default_hostfile", "oob_tcp_if_include", "btl_tcp_if_include", "btl"})
      unsetenv((std::string("OMPI_MCA_") + name).c_str());
    done({"ip", "netns", "del", near_});
    done({"ip", "netns", "del", far_});
  }
  static Words in(const std::string& name_space, const Words& command) {
    Words words{"ip", "netns", "exec", name_space};
    words.insert(words.end(), command.begin(), command.end());
    return words;
  }
  std::unique_ptr<RunningCommand> start(const Words& more) const {
    Words overrides{"run.steps=600",
                    "run.evaluate_every=0",
                    "run.trace_steps=0",
                    "monitor.listen='10.77.0.1:0'",
                    "monitor.stall_seconds=" + std::to_string(static_cast<int>(stall)),
                    "monitor.startup_seconds=60"};
    overrides.insert(overrides.end(), more.begin(), more.end());
    Words words{program()};
    const Words train = train_words(overrides, {"--json"});
    words.insert(words.end(), train.begin(), train.end());
    CommandOptions process;
    process.folder = path().string();
    process.seconds = 150;
    return std::make_unique<RunningCommand>(in(near_, words), process);
  }
  bool reaches(RunningCommand& run, long steps) const {
    return run.wait_until([&] {
      std::ifstream file(path("run/metrics.jsonl"));
      return std::count(std::istreambuf_iterator<char>(file), {}, '\n') >= steps;
    });
  }
  void set_link(const char* state) const { ASSERT_TRUE(done(in(near_, {"ip", "link", "set", near_, state}))); }

  const std::string near_ = "il" + std::to_string(getpid() % 100000) + "a",
                    far_ = near_.substr(0, near_.size() - 1) + "b";
};

TEST_F(Network, ALinkThatIsDownForTwoSecondsChangesNothing) {
  const auto undisturbed = start({"run.folder='undisturbed'"})->wait();
  expect_done(undisturbed);
  const auto run = start({});
  ASSERT_TRUE(reaches(*run, 50)) << run->wait(0).all;
  set_link("down");
  std::this_thread::sleep_for(std::chrono::seconds(2));
  set_link("up");
  const CommandResult result = run->wait();
  expect_done(result);
  EXPECT_EQ(last_object(result)["digest"], last_object(undisturbed)["digest"]);
}

// What is lost meanwhile TCP sends again.
TEST_F(Network, ALinkThatComesAndGoesChangesNothing) {
  const auto undisturbed = start({"run.folder='undisturbed'"})->wait();
  expect_done(undisturbed);
  const auto run = start({});
  ASSERT_TRUE(reaches(*run, 50)) << run->wait(0).all;
  for (int i = 0; i < 8; ++i) {
    set_link("down");
    std::this_thread::sleep_for(std::chrono::milliseconds(150));
    set_link("up");
    std::this_thread::sleep_for(std::chrono::milliseconds(500));
  }
  const CommandResult result = run->wait();
  expect_done(result);
  EXPECT_EQ(last_object(result)["digest"], last_object(undisturbed)["digest"]);
}

TEST_F(Network, ALinkThatStaysDownIsAVerdictAndNothingIsLeft) {
  const auto run = start({"run.steps=1000000", "checkpoint.every=0"});
  ASSERT_TRUE(reaches(*run, 50)) << run->wait(0).all;
  set_link("down");
  const auto begin = std::chrono::steady_clock::now();
  const CommandResult result = run->wait(stall + 30);
  EXPECT_EQ(result.code, 71) << result.all;
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::duration<double>(stall + 20))
      << "the limit, 1 s for what the ranks say of themselves, and twice the patience with mpirun";
  EXPECT_THAT(result.all, HasSubstr("no rank has got on for"));
  EXPECT_THAT(result.left_running, IsEmpty());
}

}  // namespace
}  // namespace interlock
