#pragma once
// The time at which a device has done what it was asked until now. On the CPU that is now; on a GPU, whose work runs
// behind the host, an event in the calling thread's stream, whose time is known once the GPU has passed it.

#include <ATen/core/Tensor.h>
#include <c10/core/Event.h>

#include <memory>

namespace interlock {

class Stopwatch {
 public:
  class Moment {
    friend class Stopwatch;
    double host_ = 0;
    std::shared_ptr<c10::Event> event_;
  };

  explicit Stopwatch(at::Device device);
  Moment now() const;
  // Seconds on the clock of TraceRecorder. On a GPU the moment has to be passed, and not long gone: rebase() follows.
  double seconds(const Moment& moment) const;
  // Later moments are measured from this one, which has passed: a GPU tells the time between two events in float.
  void rebase(const Moment& moment);

 private:
  at::Device device_;
  Moment base_;
};

}  // namespace interlock
