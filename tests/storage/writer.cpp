// A process that writes checkpoints as a run does, to be killed or disturbed by the tests:
//   storage_writer RUN NONCE KEEP STEP...
// Says "published STEP" or "failed STEP: REASON" for each, and goes on as training would.

#include <unistd.h>

#include <cstdlib>

#include "tests/storage/checkpoint_support.h"

namespace {

void say(const std::string& line) {
  if (::write(STDOUT_FILENO, line.data(), line.size()) < 0) std::abort();
}

}  // namespace

int main(int argc, char** argv) {
  using namespace interlock;
  if (argc < 5) return static_cast<int>(ExitCode::usage);
  const std::string run = argv[1], nonce = argv[2];
  for (int i = 4; i < argc; ++i) {
    const int64_t step = std::atoll(argv[i]);
    try {
      make_checkpoint(run, step, nonce);
      say(message("published ", step, "\n"));
      retain_checkpoints(run, std::atoll(argv[3]), nonce, step);
    } catch (const Error& error) {
      discard_staging(staging_folder(run, step, nonce));
      say(message("failed ", step, ": ", error.what(), "\n"));
    }
  }
  return 0;
}
