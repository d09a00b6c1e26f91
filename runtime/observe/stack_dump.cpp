#include "runtime/observe/stack_dump.h"

#include <execinfo.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "runtime/core/readable_file.h"
#include "runtime/observe/function_names.h"
#include "runtime/observe/pulse.h"

namespace interlock {
namespace {

namespace fs = std::filesystem;

constexpr int deepest = 64;
constexpr std::string_view prefix = "stack-";

std::array<char, 4096> path{};  // of a handler, which may not ask for memory
pthread_t training_thread;

std::string file_of(const std::string& run_folder, int64_t rank) {
  char name[32];
  std::snprintf(name, sizeof name, "stack-%05lld", static_cast<long long>(rank));
  return (fs::path(pulse_folder(run_folder)) / name).string();
}

std::string own_program() {
  std::error_code unknown;
  return fs::read_symlink("/proc/self/exe", unknown).string();
}

// Any thread may get the signal; the one that matters is asked in its place.
void dump(int number) {
  const int problem = errno;
  if (!pthread_equal(pthread_self(), training_thread)) {
    pthread_kill(training_thread, number);
  } else if (const int file =
                 open(path.data(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0644);
             file >= 0) {
    void* frames[deepest];
    backtrace_symbols_fd(frames, backtrace(frames, deepest), file);
    close(file);
  }
  errno = problem;
}

}  // namespace

void dump_stack_on_request(const std::string& run_folder, int rank) {
  const std::string name = file_of(run_folder, rank);
  if (name.size() >= path.size()) return;
  std::strcpy(path.data(), name.c_str());
  training_thread = pthread_self();
  void* frame = nullptr;
  backtrace(&frame, 1);  // the first call loads a library: not in the handler
  struct sigaction action {};
  action.sa_handler = dump;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  sigaction(SIGUSR2, &action, nullptr);
}

std::string read_stack(const std::string& run_folder, int64_t rank, int most_lines) {
  if (!is_regular_file(file_of(run_folder, rank))) return "";
  static const std::string program = own_program();  // the ranks' too
  static const FunctionNames names(program);
  std::ifstream file(file_of(run_folder, rank));
  std::string text, line;
  constexpr int own_frames = 2;  // the handler, and what the kernel called it by
  for (int number = 0; number < own_frames + most_lines && std::getline(file, line); ++number) {
    if (number < own_frames) continue;
    std::ranges::replace_if(
        line, [](unsigned char c) { return c < 0x20 || c >= 0x7f; }, '?');
    text += "    " + with_function_name(line, program, names).substr(0, 160) + "\n";
  }
  return text;
}

void forget_stacks(const std::string& run_folder) {
  std::error_code absent;
  for (const auto& entry : fs::directory_iterator(pulse_folder(run_folder), absent))
    if (entry.path().filename().string().starts_with(prefix)) fs::remove(entry.path(), absent);
}

}  // namespace interlock
