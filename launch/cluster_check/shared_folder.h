#pragma once
// Whether the folder of a run is one folder for all ranks: seen, written and locked by every host. Torch-free.

#include <chrono>
#include <string>
#include <vector>

namespace interlock {

class Group;

// All ranks call it with their own path of the run folder, which need not exist: the nearest folder above it that does
// is tried, and left as it was. On rank 0, by rank: what is wrong there, "" when nothing is.
// `patience`: a network file system may show a new file late, as it keeps what it knows of a folder for some seconds.
std::vector<std::string> check_shared_folder(Group& world, const std::string& run_folder,
                                             std::chrono::milliseconds patience = std::chrono::seconds(10));

}  // namespace interlock
