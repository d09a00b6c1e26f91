#include "tests/bench/operation_times.h"

#include <c10/core/impl/VirtualGuardImpl.h>

#include <atomic>
#include <string_view>

#include "runtime/core/error.h"
#include "runtime/device/staging.h"

namespace interlock {
namespace {

std::atomic<OperationTimes*> active{nullptr};  // callbacks are plain functions
thread_local int depth = 0;

bool is_node_of_graph(std::string_view name) { return name.find("autograd::") != name.npos; }

// "aten::mm [64, 768] [768, 768]"; "" where none of its tensors is on the device.
std::string described(const at::RecordFunction& function, at::Device device) {
  std::string text = function.name();
  bool there = false;
  for (const c10::IValue& input : function.inputs()) {
    if (!input.isTensor() || !input.toTensor().defined()) continue;
    const at::Tensor& tensor = input.toTensor();
    there |= tensor.device() == device;
    text += message(" ", tensor.sizes());
  }
  return there ? text : "";
}

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
  handle_ = at::addGlobalCallback(
      at::RecordFunctionCallback(begin, end).scopes({at::RecordScope::FUNCTION}).needsInputs(true));
}

OperationTimes::~OperationTimes() {
  if (counting_) at::removeCallback(handle_);
  active = nullptr;
}

std::unique_ptr<at::ObserverContext> OperationTimes::begin(const at::RecordFunction& function) {
  OperationTimes* times = active;
  auto call = std::make_unique<Call>();
  if (is_node_of_graph(function.name())) return nullptr;
  if (depth++ == 0 && times != nullptr) call->name = described(function, times->device_);
  if (!call->name.empty()) call->before = timed_mark(times->device_);
  return call;
}

void OperationTimes::end(const at::RecordFunction&, at::ObserverContext* context) {
  auto* call = static_cast<Call*>(context);
  if (call == nullptr) return;
  --depth;
  OperationTimes* times = active;
  if (!call->before || times == nullptr) return;
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
