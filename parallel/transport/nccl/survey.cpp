// What is asked before a communicator is made: whether all ranks have the same NCCL, and a GPU each.
#include <cstdlib>
#include <cstring>
#include <sstream>

#include "parallel/transport/group.h"
#include "parallel/transport/nccl/nccl.h"
#include "runtime/core/error.h"

namespace interlock {
namespace {

// From this one on NCCL serves several ranks on one GPU, if the variable says so.
constexpr int serves_shared_gpus = 23003;
constexpr const char* shared_gpu_variable = "NCCL_MULTI_RANK_GPU_ENABLE";
// NVIDIA's resiliency extension advises against these: an abort may hang in them.
constexpr int first_bad = 22803, last_bad = 22808;

struct Answer {
  int library = 0, header = 0;
  bool shares = false;  // the variable is set
  std::string gpu;
};

Answer parse(const std::string& text) {
  Answer answer;
  std::istringstream in(text);
  in >> answer.library >> answer.header >> answer.shares >> answer.gpu;
  return answer;
}

void check_versions(const std::vector<Answer>& answers) {
  for (size_t rank = 0; rank < answers.size(); ++rank) {
    const Answer &first = answers.front(), &other = answers[rank];
    if (other.library != first.library)
      throw Error(ExitCode::config, message("rank 0 has NCCL ", nccl_version_text(first.library), ", but rank ", rank,
                                            " has ", nccl_version_text(other.library),
                                            ": install one version everywhere, or set parallel.transport = \"mpi\""));
    if (other.header / 10'000 != other.library / 10'000 || other.header > other.library)
      throw Error(ExitCode::config, message("rank ", rank, " loads NCCL ", nccl_version_text(other.library),
                                            ", but was built for ", nccl_version_text(other.header),
                                            ": put a libnccl.so.2 of at least that version first in LD_LIBRARY_PATH"));
  }
}

std::string shared_gpu(const std::vector<Answer>& answers) {
  for (size_t rank = 0; rank < answers.size(); ++rank) {
    for (size_t other = 0; other < rank; ++other) {
      if (answers[rank].gpu != answers[other].gpu) continue;
      const bool able = answers[rank].library >= serves_shared_gpus;
      if (able && answers[rank].shares && answers[other].shares) continue;
      const std::string both = message("ranks ", other, " and ", rank, " share the GPU ", answers[rank].gpu,
                                       ", which NCCL ", nccl_version_text(answers[rank].library));
      return able ? message(both, " does only with ", shared_gpu_variable, "=1 in the environment of every rank")
                  : message(both, " refuses (", nccl_version_text(serves_shared_gpus), " and later can, with ",
                            shared_gpu_variable, "=1); start one rank per GPU");
    }
  }
  return "";
}

}  // namespace

std::string nccl_obstacle(Transport& host, NcclCalls& calls) {
  const char* variable = std::getenv(shared_gpu_variable);
  const bool shares = variable != nullptr && std::strcmp(variable, "1") == 0;
  std::vector<Answer> answers;
  for (const std::string& text : Group::of_all(host).all_gather(
           message(calls.library_version(), " ", calls.header_version(), " ", shares ? 1 : 0, " ", calls.gpu_uuid())))
    answers.push_back(parse(text));
  check_versions(answers);
  const int version = answers.front().library;
  if (version >= first_bad && version <= last_bad)
    return message("NCCL ", nccl_version_text(version), " may hang when a rank is lost; use ",
                   nccl_version_text(last_bad + 1), " or later, or an earlier one than ", nccl_version_text(first_bad));
  return shared_gpu(answers);
}

}  // namespace interlock
