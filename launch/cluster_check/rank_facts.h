#pragma once
// What one process of a launcher knows about itself and its host.

#include <map>
#include <string>
#include <vector>

namespace interlock {

struct RankFacts {
  std::string host;
  std::string program;    // SHA-256 of the executable
  std::string config;     // of the resolved config; "" without one
  std::string processor;  // the capability that LibTorch chose: other ones give other bits
  std::string mpi;
  std::map<std::string, std::string> libraries;  // loaded ones by file name: the linker's build id, or the size
  std::vector<int> processors;                   // numbers of those that it may run on, ascending
  int processors_of_host = 0;                    // in all; 0: not known
  int threads = 0;                               // that it computes with
  double available_memory = 0;                   // bytes, of the host or its container
};

// Of this process. `mpi`: the transport's description.
RankFacts facts_of_this_rank(const std::string& config, int threads, const std::string& mpi);

// As bytes for another rank, and back.
std::string packed(const RankFacts& facts);
RankFacts unpacked(const std::string& bytes);

}  // namespace interlock
