#include "runtime/device/stopwatch.h"

#include <c10/core/impl/VirtualGuardImpl.h>

#include "runtime/observe/trace.h"

namespace interlock {

Stopwatch::Stopwatch(at::Device device) : device_(device) {
  base_ = now();
  if (base_.event_) base_.event_->synchronize();
  base_.host_ = TraceRecorder::now();
}

Stopwatch::Moment Stopwatch::now() const {
  Moment moment;
  if (device_.is_cpu()) {
    moment.host_ = TraceRecorder::now();
    return moment;
  }
  const c10::impl::VirtualGuardImpl guard(device_.type());
  moment.event_ = std::make_shared<c10::Event>(device_.type(), c10::EventFlag::BACKEND_DEFAULT);
  moment.event_->record(guard.getStream(device_));
  return moment;
}

double Stopwatch::seconds(const Moment& moment) const {
  constexpr double seconds_per_millisecond = 1e-3;
  if (!moment.event_) return moment.host_;
  return base_.host_ + seconds_per_millisecond * base_.event_->elapsedTime(*moment.event_);
}

void Stopwatch::rebase(const Moment& moment) {
  const double at = seconds(moment);
  base_ = moment;
  base_.host_ = at;
}

}  // namespace interlock
