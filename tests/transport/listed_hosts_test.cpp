// What batch systems say of their hosts, each in its own way.
#include "parallel/transport/listed_hosts.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

#include "tests/observe/temporary_folder.h"

namespace interlock {
namespace {

const char* const lists[] = {"SLURM_JOB_NUM_NODES", "OMPI_MCA_orte_default_hostfile", "PBS_NODEFILE", "PE_HOSTFILE",
                             "LSB_HOSTS"};

class ListedHosts : public testing::Test {
 protected:
  void SetUp() override { forget(); }
  void TearDown() override { forget(); }
  static void forget() {
    for (const char* name : lists) unsetenv(name);
  }
  // With nothing but this variable.
  static int told(const char* name, const std::string& value) {
    forget();
    setenv(name, value.c_str(), 1);
    return listed_hosts();
  }
  std::string file(const std::string& lines) const {
    std::ofstream(folder_ / "hosts") << lines;
    return folder_ / "hosts";
  }
  TemporaryFolder folder_;
};

TEST_F(ListedHosts, NothingSaidIsThisOne) { EXPECT_EQ(listed_hosts(), 1); }

TEST_F(ListedHosts, EachBatchSystemsWay) {
  EXPECT_EQ(told("SLURM_JOB_NUM_NODES", "3"), 3);
  EXPECT_EQ(told("PBS_NODEFILE", file("n1\nn1\nn2\nn2\n")), 2) << "a line for every slot";
  EXPECT_EQ(told("PE_HOSTFILE", file("n1 4 all.q@n1 UNDEFINED\nn2 4 all.q@n2 UNDEFINED\n")), 2);
  EXPECT_EQ(told("LSB_HOSTS", "n1 n1 n2 n3"), 3) << "a word for every slot";
  EXPECT_EQ(told("OMPI_MCA_orte_default_hostfile", file("# ours\nn1 slots=2\n\nn2 # the other\n")), 2);
}

TEST_F(ListedHosts, OneHostOfSeveralSlotsIsOne) {
  EXPECT_EQ(told("PBS_NODEFILE", file("n1\nn1\nn1\n")), 1);
  EXPECT_EQ(told("LSB_HOSTS", "n1 n1"), 1);
}

TEST_F(ListedHosts, WhatCannotBeReadIsMpirunsToRefuse) { EXPECT_EQ(told("PBS_NODEFILE", folder_ / "nowhere"), 1); }

}  // namespace
}  // namespace interlock
