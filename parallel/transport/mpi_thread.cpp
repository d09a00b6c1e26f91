// The life of the MPI thread: start, the loop of commands, polls and pauses, and the end. mpi_messages.cpp has the
// messages.
#include "parallel/transport/mpi_thread.h"

#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <exception>
#include <limits>

#include "parallel/transport/mpi_tags.h"
#include "runtime/core/blocked_signals.h"
#include "runtime/core/lost.h"

namespace interlock {
namespace {

using std::chrono::microseconds;

const char* level_name(int level) {
  switch (level) {
    case MPI_THREAD_SINGLE:
      return "MPI_THREAD_SINGLE";
    case MPI_THREAD_FUNNELED:
      return "MPI_THREAD_FUNNELED";
    case MPI_THREAD_SERIALIZED:
      return "MPI_THREAD_SERIALIZED";
    default:
      return "MPI_THREAD_MULTIPLE";
  }
}

}  // namespace

std::string mpi_library() {
  char text[MPI_MAX_LIBRARY_VERSION_STRING];
  int length = 0;
  MPI_Get_library_version(text, &length);
  const std::string whole(text, length);
  return whole.substr(0, whole.find_first_of(",\n"));  // Open MPI goes on with package and build host
}

MpiThread::MpiThread(const MpiOptions& options)
    : piece_bytes_(std::clamp<uint64_t>(options.piece_bytes, 1, std::numeric_limits<int>::max())) {
  std::promise<void> started;
  auto ready = started.get_future();
  thread_ = std::thread([this, promise = std::move(started)]() mutable { run(std::move(promise)); });
  try {
    ready.get();
  } catch (...) {
    thread_.join();
    throw;
  }
}

// While an exception unwinds, the process is about to end with an error code and peers may be waiting for messages that
// never come. MPI_Finalize would wait for them; leaving without it makes the launcher end all ranks with our code.
MpiThread::~MpiThread() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
    abandon_ = std::uncaught_exceptions() > 0;
  }
  command_.notify_one();
  thread_.join();
}

void MpiThread::run(std::promise<void> started) {
  const BlockedSignals blocked;
  prctl(PR_SET_TIMERSLACK, 1000UL, 0UL, 0UL, 0UL);  // ns; the usual 50 us would double short pauses
  try {
    start_mpi();
  } catch (...) {
    started.set_exception(std::current_exception());
    return;
  }
  last_progress_ = Clock::now();
  started.set_value();
  try {
    while (take_commands()) {
      while (poll()) {
      }
    }
    finish_mpi();
  } catch (const std::exception& error) {
    fail(error.what());
  }
}

void MpiThread::start_mpi() {
  int provided = MPI_THREAD_SINGLE;
  if (MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &provided) != MPI_SUCCESS) {
    throw Error(ExitCode::config, "MPI did not start; `interlock doctor` says more");
  }
  if (provided < MPI_THREAD_FUNNELED) {
    throw Error(ExitCode::config, message(mpi_library(), " gives ", level_name(provided),
                                          ", but MPI_THREAD_FUNNELED is needed: use an MPI built with threads"));
  }
  check(MPI_Comm_dup(MPI_COMM_WORLD, &communicator_), "MPI_Comm_dup");
  check(MPI_Comm_set_errhandler(communicator_, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
  check(MPI_Comm_rank(communicator_, &rank_), "MPI_Comm_rank");
  check(MPI_Comm_size(communicator_, &size_), "MPI_Comm_size");
  int* largest_tag = nullptr;
  int found = 0;
  check(MPI_Comm_get_attr(communicator_, MPI_TAG_UB, &largest_tag, &found), "MPI_Comm_get_attr");
  if (!found || *largest_tag < largest_lane_tag) {
    throw Error(ExitCode::config, message(mpi_library(), " allows tags up to ", found ? *largest_tag : 0, ", but ",
                                          largest_lane_tag, " are needed: use another MPI"));
  }
  const LaunchPlace place = launch_place();
  if (place.size != size_) {
    throw Error(ExitCode::config,
                message("the launcher started ", place.size, " processes but MPI sees ", size_,
                        ": under Slurm use `srun --mpi=pmix`, and start with the mpirun of ", mpi_library()));
  }
  description_ = message(mpi_library(), ", ", level_name(provided), ", one MPI thread per rank, host memory");
}

// Receives that nobody will serve are cancelled. Sends are given time: their receiver may be busy. When one is never
// received, MPI_Finalize could hang, and the launcher reports the process that left without it.
void MpiThread::finish_mpi() {
  if (abandon_ || failed_) return;
  for (size_t i = 0; i < requests_.size(); ++i) {
    if (parts_[i].operation->kind != MpiOperation::Kind::send) check(MPI_Cancel(&requests_[i]), "MPI_Cancel");
  }
  const auto deadline = Clock::now() + std::chrono::seconds(10);
  while (!requests_.empty()) {
    if (Clock::now() > deadline) return;
    poll();
    std::this_thread::sleep_for(microseconds(100));
  }
  check(MPI_Comm_free(&communicator_), "MPI_Comm_free");
  MPI_Finalize();
}

bool MpiThread::take_commands() {
  std::deque<std::shared_ptr<MpiOperation>> taken;
  {
    std::unique_lock lock(mutex_);
    const auto called = [&] { return !queue_.empty() || stop_ || hurry_ || abort_code_ >= 0; };
    if (requests_.empty()) {
      command_.wait(lock, called);
    } else if (const auto length = pause(); length > Clock::duration::zero()) {
      command_.wait_for(lock, length, called);
    } else {
      lock.unlock();
      std::this_thread::yield();
      lock.lock();
    }
    if (abort_code_ >= 0) MPI_Abort(MPI_COMM_WORLD, abort_code_);
    if (hurry_) last_progress_ = Clock::now();
    hurry_ = false;
    taken.swap(queue_);
    if (taken.empty() && stop_) return false;
  }
  for (const auto& operation : taken) start(operation);
  return true;
}

// A pause is a share of the time for which nothing has happened, so that a long wait costs no processor time and a
// message is never noticed later than that share of the wait. While the rank computes, every poll interrupts the
// computation (some 30 us each where this was measured) and it matters less how soon a message is noticed. Ranks often
// share cores, so nothing spins for long.
// Pieces that move are another matter: over TCP they do so inside MPI calls only, and a poll that moved some of a piece
// looks like one that found nothing. The pauses between are such that what the sockets hold (megabytes) bridges them.
MpiThread::Clock::duration MpiThread::pause() const {
  const Clock::duration shortest = moving_ > 0 ? microseconds(20) : microseconds(100);
  const Clock::duration longest = moving_ > 0 ? microseconds(500) : microseconds(1000);
  const auto quiet = Clock::now() - last_progress_;
  if (!waiting_) return std::clamp<Clock::duration>(quiet / 8, shortest, longest);
  if (quiet < microseconds(30)) return Clock::duration::zero();
  return std::clamp<Clock::duration>(quiet / 16, microseconds(10), longest);
}

void MpiThread::submit(std::shared_ptr<MpiOperation> operation) {
  {
    std::lock_guard lock(mutex_);
    queue_.push_back(std::move(operation));
  }
  command_.notify_one();
}

void MpiThread::wait(const MpiOperation& operation) {
  if (!operation.done) {
    std::unique_lock lock(mutex_);
    waiting_ = hurry_ = true;
    command_.notify_one();
    finished_.wait(lock, [&] { return operation.done || failed_; });
    waiting_ = false;
  }
  if (failed_) {
    std::lock_guard lock(mutex_);
    throw Error(lost_rank, failure_);
  }
  if (!operation.problem.empty()) throw Error(ExitCode::gave_up, operation.problem);
}

void MpiThread::abort(int exit_code) {
  {
    std::lock_guard lock(mutex_);
    abort_code_ = exit_code;
  }
  command_.notify_one();
  std::this_thread::sleep_for(std::chrono::seconds(2));  // MPI_Abort ends this process sooner, unless it hangs
  _exit(exit_code);
}

void MpiThread::finish(MpiOperation& operation) {
  std::lock_guard lock(mutex_);
  if (operation.moving) --moving_;
  operation.done = true;
  if (waiting_) finished_.notify_all();
}

void MpiThread::check(int error, const char* call) {
  if (error == MPI_SUCCESS) return;
  char text[MPI_MAX_ERROR_STRING];
  int length = 0;
  MPI_Error_string(error, text, &length);
  throw Error(ExitCode::gave_up, message("rank ", rank_, ": ", call, " failed: ", std::string(text, length)));
}

void MpiThread::fail(const std::string& reason) {
  std::lock_guard lock(mutex_);
  failure_ = reason;
  failed_ = true;
  finished_.notify_all();
}

}  // namespace interlock
