#include "tests/bench/operation_times.h"

#include <c10/core/impl/VirtualGuardImpl.h>

#include <atomic>

#include "runtime/device/staging.h"

namespace interlock {
namespace {

std::atomic<OperationTimes*> active{nullptr};  // callbacks are plain functions
thread_local int depth = 0;

std::shared_ptr<c10::Event> timed_mark(at::Device device) {
  const c10::impl::VirtualGuardImpl guard(device.type());
  auto event = std::make_shared<c10::Event>(device.type(), c10::EventFlag::BACKEND_DEFAULT);
  event->record(guard.getStream(device));
  return event;
}

}  // namespace

struct OperationTimes::Call : at::ObserverContext {
  std::string name;
  std::shared_ptr<c10::Event> before, after;
};

OperationTimes::OperationTimes(at::Device device) : device_(device) {
  active = this;
  handle_ = at::addGlobalCallback(at::RecordFunctionCallback(begin, end).scopes({at::RecordScope::FUNCTION}));
}

OperationTimes::~OperationTimes() {
  if (counting_) at::removeCallback(handle_);
  active = nullptr;
}

std::unique_ptr<at::ObserverContext> OperationTimes::begin(const at::RecordFunction& function) {
  OperationTimes* times = active;
  auto call = std::make_unique<Call>();
  if (depth++ == 0 && times != nullptr) {
    call->name = function.name();
    call->before = timed_mark(times->device_);
  }
  return call;
}

void OperationTimes::end(const at::RecordFunction&, at::ObserverContext* context) {
  --depth;
  OperationTimes* times = active;
  auto* call = static_cast<Call*>(context);
  if (call == nullptr || !call->before || times == nullptr) return;
  auto kept = std::make_unique<Call>();
  kept->name = call->name;
  kept->before = call->before;
  kept->after = timed_mark(times->device_);
  const std::lock_guard lock(times->mutex_);
  times->calls_.push_back(std::move(kept));
}

std::map<std::string, std::pair<double, int64_t>> OperationTimes::take() {
  if (counting_) at::removeCallback(handle_);
  counting_ = false;
  mark(device_).synchronize();
  std::map<std::string, std::pair<double, int64_t>> seconds;
  const std::lock_guard lock(mutex_);
  for (const auto& call : calls_) {
    auto& [sum, times] = seconds[call->name];
    sum += 1e-3 * call->before->elapsedTime(*call->after);
    ++times;
  }
  return seconds;
}

}  // namespace interlock
