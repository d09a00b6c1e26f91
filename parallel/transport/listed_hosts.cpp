#include "parallel/transport/listed_hosts.h"

#include <algorithm>
#include <cstdlib>
#include <set>
#include <sstream>
#include <string>

#include "runtime/core/readable_file.h"

namespace interlock {
namespace {

// The first word of every line that is no comment. One that cannot be read is mpirun's to refuse.
int hosts_of_file(const char* path) {
  std::set<std::string> hosts;
  std::string ignored;
  std::istringstream file(read_regular_file(path, most_config_bytes, ignored).value_or(""));
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line.substr(0, line.find('#')));
    if (std::string host; words >> host) hosts.insert(host);
  }
  return static_cast<int>(hosts.size());
}

int hosts_of_words(const char* text) {
  std::istringstream words(text);
  std::set<std::string> hosts;
  for (std::string host; words >> host;) hosts.insert(host);
  return static_cast<int>(hosts.size());
}

}  // namespace

int listed_hosts() {
  int most = 1;
  if (const char* nodes = std::getenv("SLURM_JOB_NUM_NODES")) most = std::max(most, std::atoi(nodes));
  for (const char* list : {"OMPI_MCA_orte_default_hostfile", "PBS_NODEFILE", "PE_HOSTFILE"})
    if (const char* path = std::getenv(list)) most = std::max(most, hosts_of_file(path));
  if (const char* words = std::getenv("LSB_HOSTS")) most = std::max(most, hosts_of_words(words));
  return most;
}

}  // namespace interlock
