// `interlock doctor`: can this machine train, and if not, what to do. Needs no compiler and no config.

#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/matmul.h>
#include <torch/version.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>

#include "launch/checks/checks.h"
#include "launch/cluster_check/cluster_check.h"
#include "launch/command.h"
#include "launch/run/empty_rank.h"
#include "launch/terminal/json_line.h"
#include "runtime/core/error.h"

namespace interlock {
namespace {

// [0 1 2; 3 4 5] times its transpose is [5 14; 14 50].
Check check_libtorch() {
  Check check{"libtorch", Check::Status::ok, message(TORCH_VERSION, ", ", at::get_cpu_capability()), ""};
  try {
    const at::Tensor rows = at::arange(6, at::kFloat).view({2, 3});
    const at::Tensor product = at::matmul(rows, rows.t()).contiguous();
    const float* values = product.const_data_ptr<float>();
    if (!std::equal(values, values + 4, std::array{5.0f, 14.0f, 14.0f, 50.0f}.begin())) {
      throw std::runtime_error("a 2x3 product has wrong values");
    }
    check.found += ", computes";
  } catch (const std::exception& problem) {
    check.status = Check::Status::fail;
    check.found += message(", but: ", problem.what());
    check.advice = "fetch LibTorch again with launch/setup";
  }
  return check;
}

class Doctor final : public Command {
 public:
  std::string summary() const override { return "check what a run needs from this machine"; }
  void declare(CLI::App& app) override {
    app.add_flag("--json", json_, "one JSON object on stdout");
    app.add_option("--rank-memory", rank_memory_,
                   "only print the peak memory in bytes of a rank that holds next to nothing of such a model, and how "
                   "much of it is pages of files; PRODUCTS: large or small")
        ->type_name("MODEL PRECISION [PRODUCTS]")
        ->expected(2, 3);
    auto* cluster = app.add_flag("--cluster", cluster_,
                                 "under mpirun or srun: check what the ranks' hosts must have in common, and how fast "
                                 "messages are between neighbours");
    app.add_option("config", cluster_request_.config, "the run, for --cluster, as a TOML file")->needs(cluster);
    app.add_option("--set", cluster_request_.overrides, "override a key: section.key=value")
        ->type_name("KEY=VALUE")
        ->allow_extra_args(false)
        ->needs(cluster);
    app.add_option("--hostfile", hostfile_, "check the host names in this file too")->type_name("FILE");
  }
  int run() override;

 private:
  std::vector<Check> examine() const;
  int tell_cluster(const ClusterFacts& facts) const;

  bool json_ = false, cluster_ = false;
  ClusterCheckRequest cluster_request_;
  std::string hostfile_;
  std::vector<std::string> rank_memory_;
};

// Child processes first: they are forked, and LibTorch starts threads when it computes.
std::vector<Check> Doctor::examine() const {
  const auto hosts = hostfile_.empty() ? std::vector<Check>() : check_hostfile(hostfile_);
  std::vector<Check> checks{check_mpi(), check_mpirun()};
  const Check gpu = check_gpu(), module = check_cuda_module(!gpu.found.starts_with("none"));
  Check own = check_host(own_host_name());
  own.name = "host name";
  own.found = own_host_name() + " is " + own.found;
  if (own.status == Check::Status::fail) own.status = Check::Status::warn;  // one machine alone does without
  checks.insert(checks.begin(), check_libtorch());
  checks.push_back(check_cores());
  checks.push_back(check_memory());
  std::error_code problem;
  checks.push_back(check_disk("disk", std::filesystem::current_path(problem).string()));
  checks.push_back(check_disk("temporary folder", std::filesystem::temp_directory_path(problem).string()));
  checks.push_back(check_shared_memory());
  checks.push_back(gpu);
  checks.push_back(module);
  checks.push_back(own);
  checks.insert(checks.end(), hosts.begin(), hosts.end());
  return checks;
}

int code_of(const std::vector<Check>& checks) {
  return static_cast<int>(all_pass(checks) ? ExitCode::done : ExitCode::gave_up);
}

int Doctor::run() {
  if (!rank_memory_.empty()) {
    const bool large = rank_memory_.size() < 3 || rank_memory_[2] != "small";
    const EmptyRank rank = empty_rank(rank_memory_[0], rank_memory_[1], large);
    std::cout << static_cast<int64_t>(rank.bytes) << " " << static_cast<int64_t>(rank.of_files) << std::endl;
    return 0;
  }
  if (cluster_) return check_cluster(cluster_request_, [&](const ClusterFacts& facts) { return tell_cluster(facts); });
  const std::vector<Check> checks = examine();
  std::cout << (json_ ? json_line(checks_json(checks)) : table_text(checks)) << std::flush;
  return code_of(checks);
}

int Doctor::tell_cluster(const ClusterFacts& facts) const {
  const std::vector<Check> checks = judge(facts);
  std::cout << (json_ ? json_line(cluster_json(facts, checks)) : cluster_text(facts, checks)) << std::flush;
  return code_of(checks);
}

const Registration<Command> registered("doctor", [] { return std::make_unique<Doctor>(); });

}  // namespace
}  // namespace interlock
