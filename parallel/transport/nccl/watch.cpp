#include "parallel/transport/nccl/watch.h"

#include <algorithm>
#include <utility>

#include "runtime/core/blocked_signals.h"
#include "runtime/core/lost.h"

namespace interlock {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

// Short waits are met within a few microseconds, long ones cost no processor.
void pause(int& polls) {
  if (++polls < 200) {
    std::this_thread::yield();
  } else {
    std::this_thread::sleep_for(microseconds(std::min(polls - 150, 500)));
  }
}

}  // namespace

std::string nccl_version_text(int version) {
  return message(version / 10'000, ".", version / 100 % 100, ".", version % 100);
}

NcclWatch::NcclWatch(NcclCalls& calls, int rank, Seconds limit, std::function<void(const std::string&)> stuck)
    : calls_(calls), rank_(rank), limit_(limit), stuck_(std::move(stuck)) {
  thread_ = std::thread([this] { run(); });
  monitor_ = std::thread([this] { watch_the_watch(); });
}

NcclWatch::~NcclWatch() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  monitor_.join();
  thread_.join();
  for (const auto& operation : under_way_) events_.insert(events_.end(), {operation->begin, operation->end});
  for (const NcclCalls::Event event : events_)
    if (event != nullptr) calls_.free_event(event);  // null: of an operation that has given its own back
}

void NcclWatch::perform(const Communicator& communicator, const std::string& what, const std::function<int()>& call) {
  const Clock::time_point begin = Clock::now();
  int result = nccl_success;
  {
    std::lock_guard lock(nccl_);
    check();  // here, so that nothing is aborted between this and the call
    result = call();
  }
  for (int polls = 0; result == nccl_in_progress; pause(polls)) {
    if (Clock::now() - begin > limit_)
      fail(message(what, " could not be started within ", limit_.count(), " s: is every rank still running?"));
    check();
    std::lock_guard lock(nccl_);
    if (*communicator == nullptr) continue;  // aborted meanwhile
    int state = nccl_success;
    const int asked = calls_.state(*communicator, state);
    result = asked == nccl_success ? state : asked;
  }
  if (result == nccl_success) return;
  fail(message(what, " failed: NCCL says ", calls_.describe(result)));
  check();
}

std::shared_ptr<NcclOperation> NcclWatch::put(const Communicator& communicator, NcclCalls::Stream stream,
                                              std::string what, std::vector<std::shared_ptr<void>> keeps,
                                              const std::function<int()>& call) {
  release_done();
  auto operation = std::make_shared<NcclOperation>();
  operation->what = std::move(what);
  operation->keeps = std::move(keeps);
  order_after_compute(stream);
  operation->begin = take_event();
  operation->end = take_event();
  try {
    calls_.record(operation->begin, stream);
    perform(communicator, operation->what, call);
    calls_.record(operation->end, stream);
  } catch (...) {
    std::lock_guard lock(operation->mutex);
    give_back(*operation);
    throw;
  }
  std::lock_guard lock(mutex_);
  under_way_.push_back(operation);
  return operation;
}

void NcclWatch::order_after_compute(NcclCalls::Stream stream) {
  const std::optional<NcclCalls::Stream> compute = calls_.compute_stream();
  if (!compute) return;
  const NcclCalls::Event computed = take_event();
  calls_.record(computed, *compute);
  calls_.wait_for(computed, stream);
  std::lock_guard lock(mutex_);
  events_.push_back(computed);  // what waits for it has seen this record
}

bool NcclWatch::done(NcclOperation& operation) {
  Kept kept;  // is let go of after the lock: a free may wait, and the watch must not wait with it
  std::lock_guard lock(operation.mutex);
  if (!operation.done && (operation.passed || calls_.passed(operation.end))) kept = give_back(operation);
  return operation.done || failed();
}

void NcclWatch::wait(NcclOperation& operation) {
  for (int polls = 0; !done(operation); pause(polls)) {
  }
  check();
}

void NcclWatch::order_compute(NcclOperation& operation) {
  const std::optional<NcclCalls::Stream> compute = calls_.compute_stream();
  if (!compute) return wait(operation);
  check();
  std::lock_guard lock(operation.mutex);
  if (!operation.done) calls_.wait_for(operation.end, *compute);
}

void NcclWatch::add(const Communicator& communicator, const std::string& name) {
  std::lock_guard lock(mutex_);
  communicators_.push_back({communicator, name});
}

void NcclWatch::close(const Communicator& communicator) {
  const auto watched = [&](const Watched& one) { return one.communicator == communicator; };
  std::string name;
  {
    std::lock_guard lock(mutex_);
    const auto found = std::ranges::find_if(communicators_, watched);
    if (found != communicators_.end()) name = found->name;
  }
  if (std::uncaught_exceptions() > 0) fail("the rank ends with an error");
  if (!failed()) {
    try {
      perform(communicator, "the end of " + name,
              [&] { return *communicator == nullptr ? nccl_success : calls_.finalize(*communicator); });
    } catch (const Error&) {  // aborted; the run itself is done
    }
  }
  std::lock_guard nccl(nccl_);
  NcclCalls::Communicator closed = nullptr;
  {
    std::lock_guard lock(mutex_);
    closed = std::exchange(*communicator, nullptr);
    std::erase_if(communicators_, watched);
  }
  // Not under the watch's lock: where NCCL does not come back from it, the watch can still end the run.
  if (closed != nullptr) calls_.destroy(closed);
}

void NcclWatch::check() {
  std::lock_guard lock(mutex_);
  if (!failure_.empty()) throw Error(lost_rank, failure_);
}

bool NcclWatch::failed() {
  std::lock_guard lock(mutex_);
  return !failure_.empty();
}

void NcclWatch::fail(const std::string& reason) {
  {
    std::lock_guard lock(mutex_);
    if (failure_.empty()) failure_ = message("rank ", rank_, ": ", reason);
  }
  abort_all();
}

// A kernel that spins for a lost rank ends with its communicator. All are aborted at once: an abort frees memory, which
// waits for the whole GPU, and so for kernels of the others. A call that hangs although it must not is no reason to
// wait for ever.
void NcclWatch::abort_all() {
  std::unique_lock nccl(nccl_, std::chrono::system_clock::now() + std::chrono::seconds(5));
  std::vector<Watched> communicators;
  {
    std::lock_guard lock(mutex_);
    if (std::exchange(aborted_, true)) return;
    communicators = communicators_;
  }
  aborting_since_ = Clock::now().time_since_epoch().count();
  std::vector<std::thread> aborts;
  for (const Watched& watched : communicators) {
    const NcclCalls::Communicator communicator = std::exchange(*watched.communicator, nullptr);
    if (communicator == nullptr) continue;
    aborts.emplace_back([this, communicator] {
      const BlockedSignals blocked;
      try {
        calls_.use_gpu();
      } catch (const Error&) {  // NCCL makes the GPU of a communicator its own thread's
      }
      calls_.abort(communicator);
    });
  }
  for (std::thread& abort : aborts) abort.join();
  aborting_since_ = 0;
}

void NcclWatch::run() {
  const BlockedSignals blocked;
  try {
    calls_.use_gpu();
    std::unique_lock lock(mutex_);
    while (!changed_.wait_for(lock, milliseconds(10), [&] { return stop_; })) {
      if (!failure_.empty()) continue;
      lock.unlock();
      busy_since_ = Clock::now().time_since_epoch().count();
      look();
      busy_since_ = 0;
      lock.lock();
    }
  } catch (const std::exception& error) {
    fail(error.what());
    busy_since_ = 0;
  }
}

void NcclWatch::look() {
  std::vector<std::shared_ptr<NcclOperation>> operations;
  std::vector<Watched> communicators;
  {
    std::lock_guard lock(mutex_);
    operations.assign(under_way_.begin(), under_way_.end());
    communicators = communicators_;
  }
  std::string late;
  for (const auto& operation : operations) {
    std::lock_guard lock(operation->mutex);
    if (operation->done || operation->passed) continue;
    if (calls_.passed(operation->end)) {
      operation->passed = true;
    } else if (operation->began == Clock::time_point{}) {
      if (calls_.passed(operation->begin)) operation->began = Clock::now();
    } else if (late.empty() && Clock::now() - operation->began > limit_) {
      late = message(operation->what, " has not ended within ", limit_.count(),
                     " s after its turn came: has the other side been lost, or is it that slow?");
    }
  }
  if (!late.empty()) return fail(late);
  for (const Watched& watched : communicators) {
    int state = nccl_success, asked = nccl_success;
    {
      std::lock_guard lock(nccl_);
      if (*watched.communicator != nullptr) asked = calls_.state(*watched.communicator, state);
    }
    if (asked != nccl_success) state = asked;
    if (state != nccl_success && state != nccl_in_progress)
      return fail(message(watched.name, " failed: NCCL says ", calls_.describe(state)));
  }
}

void NcclWatch::release_done() {
  std::vector<std::shared_ptr<NcclOperation>> operations;
  {
    std::lock_guard lock(mutex_);
    operations.assign(under_way_.begin(), under_way_.end());
  }
  std::vector<Kept> kept;  // is let go of after the locks
  for (const auto& operation : operations) {
    std::lock_guard lock(operation->mutex);
    if (operation->passed && !operation->done) kept.push_back(give_back(*operation));
  }
  std::lock_guard lock(mutex_);
  under_way_.remove_if([](const auto& operation) {
    std::unique_lock own(operation->mutex, std::try_to_lock);  // elsewhere its mutex is taken before the watch's
    return own && operation->done;
  });
}

void NcclWatch::watch_the_watch() {
  const BlockedSignals blocked;
  std::unique_lock lock(mutex_);
  while (!changed_.wait_for(lock, milliseconds(50), [&] { return stop_; })) {
    const Clock::rep aborting = aborting_since_, since = aborting != 0 ? aborting : busy_since_.load();
    if (since == 0 || Clock::now() - Clock::time_point(Clock::duration(since)) < limit_) continue;
    std::string reason = message("rank ", rank_, ": CUDA or NCCL has not answered for ", limit_.count(), " s");
    if (!under_way_.empty()) reason += "; the oldest call under way: " + under_way_.front()->what;
    if (failure_.empty()) failure_ = reason;
    lock.unlock();
    stuck_(reason);
    return;
  }
}

NcclCalls::Event NcclWatch::take_event() {
  {
    std::lock_guard lock(mutex_);
    if (!events_.empty()) {
      const NcclCalls::Event event = events_.back();
      events_.pop_back();
      return event;
    }
  }
  return calls_.make_event();
}

NcclWatch::Kept NcclWatch::give_back(NcclOperation& operation) {
  operation.done = true;
  std::lock_guard lock(mutex_);
  events_.insert(events_.end(), {operation.begin, operation.end});
  operation.begin = operation.end = nullptr;
  return std::exchange(operation.keeps, {});
}

}  // namespace interlock
