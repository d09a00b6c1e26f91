#pragma once
// The time that a GPU takes for each kind of operation and shape: events before and after every operation of LibTorch
// or of ours on its tensors that is called by no other (by a node of a graph at most). Right where the GPU is behind
// the host; it slows the host, so nothing else is timed meanwhile.

#include <ATen/record_function.h>
#include <c10/core/Event.h>

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace interlock {

class OperationTimes {
 public:
  explicit OperationTimes(at::Device device);  // counts from here on
  ~OperationTimes();
  OperationTimes(const OperationTimes&) = delete;
  // Waits for the device; seconds by name and shapes, and how often. Counts no more.
  std::map<std::string, std::pair<double, int64_t>> take();

 private:
  struct Call;
  static std::unique_ptr<at::ObserverContext> begin(const at::RecordFunction& function);
  static void end(const at::RecordFunction& function, at::ObserverContext* call);

  at::Device device_;
  at::CallbackHandle handle_;
  bool counting_ = true;
  std::mutex mutex_;
  std::vector<std::unique_ptr<Call>> calls_;
};

}  // namespace interlock
