// A program for supervisor_test: `supervised supervise RANKS MODE ...` supervises itself as RANKS ranks, each of which
// is `supervised MODE ...` and ends, or does not end, in the way the mode says. mpirun starts any program: only `train`
// uses MPI.
#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <map>
#include <string>
#include <vector>

#include "launch/supervisor/handshake.h"
#include "launch/supervisor/restart.h"
#include "launch/supervisor/stop_request.h"
#include "parallel/transport/mpi.h"
#include "runtime/core/error.h"

namespace {

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

[[noreturn]] void hang() {
  for (;;) pause();
}

// Standard output is one pipe of all ranks: a line is one write.
void say(const std::string& line) { std::cout << line + "\n" << std::flush; }

void wait_for_stop_request() {
  interlock::watch_for_stop_request();
  while (!interlock::stop_requested()) usleep(10'000);
}

// A rank as it should be: arguments are milliseconds before it watches, and for its checkpoint.
int train(const std::string& rank, int start, int checkpoint) {
  usleep(1000 * static_cast<useconds_t>(start));
  interlock::watch_for_stop_request();
  std::unique_ptr<interlock::Transport> transport;
  if (!rank.empty()) transport = interlock::make_mpi();
  say("ready");
  wait_for_stop_request();
  say("checkpoint");
  usleep(1000 * static_cast<useconds_t>(checkpoint));
  say("whole");
  return 75;
}

// Rank arguments[0] is the one that the mode is about; the others hang.
int be_rank(const std::string& mode, const std::vector<std::string>& arguments) {
  const std::string rank = environment("OMPI_COMM_WORLD_RANK");
  if (rank == "0") interlock::say_that_ranks_are_up();
  const auto number = [&](size_t i) { return std::atoi(arguments.at(i).c_str()); };
  if (mode == "environment") {
    if (rank != "0") return 0;
    for (const char* name : {"INTERLOCK_SUPERVISED", "INTERLOCK_TERMINAL", "OMP_NUM_THREADS", "MKL_NUM_THREADS"}) {
      std::cout << name << "=" << environment(name) << "\n";
    }
    std::cerr << "a line on stderr\nand half a line";
    return 0;
  }
  if (mode == "status") {  // a status line without an end, then the error of another rank
    if (rank == "0") std::cerr << "\rstep 7 of 9" << std::flush;
    sleep(1);
    if (rank == "0") hang();
    std::cerr << "interlock: error: rank 1: no more data\n" << std::flush;
    return 65;
  }
  if (mode == "all fail") {
    std::cerr << "interlock: error: rank " << rank << ": unknown key\n  did you mean x?\n" << std::flush;
    return 64;
  }
  if (mode == "train") return train(rank, number(0), number(1));
  if (mode == "prepare") {  // as a launcher does before it starts anything
    interlock::end_on_stop_request();
    say("ready");
    hang();
  }
  if (mode == "deaf") {
    interlock::watch_for_stop_request();
    hang();
  }
  if (mode == "stop and") {  // the rank ends in some other way when it is asked to stop
    wait_for_stop_request();
    if (rank != arguments.at(0)) hang();
    if (arguments.at(1) == "die") raise(SIGKILL);
    if (arguments.at(1) == "end well") return 0;
    std::cerr << "interlock: error: rank " << rank << ": the disk is full\n" << std::flush;
    return 73;
  }
  if (mode == "stubborn") signal(SIGTERM, SIG_IGN);
  if (rank != arguments.at(0)) hang();
  usleep(200'000);  // all are started
  if (mode == "exit") return number(1);
  if (mode == "signal") raise(number(1));
  if (mode == "error" || mode == "stuck") {
    std::cerr << "ordinary line\ninterlock: error: rank " << rank << ": the disk is full\n  31 bytes were written\n"
              << std::flush;
    if (mode == "error") return number(1);
    signal(SIGTERM, SIG_IGN);
  }
  hang();
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> words(argv + 1, argv + argc);
  if (words.at(0) != "supervise") return be_rank(words[0], {words.begin() + 1, words.end()});
  interlock::SupervisorRequest request;
  request.executable = std::filesystem::read_symlink("/proc/self/exe");
  request.arguments = {words.begin() + 2, words.end()};
  request.processes = std::atoi(words.at(1).c_str());
  request.threads_per_rank = 3;
  request.last_checkpoint = [] { return environment("TEST_CHECKPOINT"); };
  try {
    const std::string restarts = environment("TEST_RESTARTS"), folder = environment("TEST_RUN");
    if (restarts.empty()) return interlock::supervise(request);
    if (!folder.empty()) request.monitor = {folder, {}};
    // Each start finds a checkpoint further on when TEST_PROGRESS is set.
    int64_t starts = 0;
    const auto newest = [&] { return environment("TEST_PROGRESS").empty() ? 0 : ++starts; };
    return interlock::supervise_with_restarts(request, {std::atoll(restarts.c_str()), request.arguments, newest});
  } catch (const interlock::Error& error) {
    std::cerr << "interlock: error: " << error.what() << std::endl;
    return static_cast<int>(error.code());
  }
}
