#pragma once
// What `interlock doctor` finds out about the machine, one function per question. Nothing in here hangs: what could
// (MPI, name servers, mpirun, CUDA) runs in a child process with a deadline.

#include <chrono>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace interlock {

struct Check {
  enum class Status { ok, warn, fail };
  std::string name;
  Status status = Status::ok;
  std::string found, advice;
};
const char* name_of(Check::Status status);

Check check_mpi();     // the library this program links, and its thread level
Check check_mpirun();  // that it is there and starts processes
Check check_cores();
Check check_memory();
Check check_disk(const std::string& name, const std::string& folder);
Check check_shared_memory();
Check check_gpu();
Check check_cuda_module(bool has_gpu);
Check check_host(const std::string& host);                       // that its name resolves
std::vector<Check> check_hostfile(const std::string& file);      // every name in it, and that ssh gets in
std::vector<std::string> hosts_in(const std::string& hostfile);  // Error(bad_input) when it cannot be read
std::string own_host_name();
double available_memory();  // bytes, of this machine or its container

// What `question` answers in a forked process; "failed: ..." with the reason when it throws, crashes or is late.
std::string ask_child(const std::function<std::string()>& question, std::chrono::seconds deadline);

// For people, a line each; for programs {"checks": [...], "ok": no check failed}.
std::string table_text(const std::vector<Check>& checks);
nlohmann::json checks_json(const std::vector<Check>& checks);
bool all_pass(const std::vector<Check>& checks);  // none failed

}  // namespace interlock
