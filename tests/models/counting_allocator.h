#pragma once
// An allocator for LibTorch's CPU tensors that keeps the sum of what is live, and its peak.

#include <c10/core/CPUAllocator.h>
#include <c10/core/impl/alloc_cpu.h>

#include <algorithm>
#include <mutex>
#include <unordered_map>

namespace interlock::tests {

// Allocates as LibTorch does and keeps the sum of what is live. Installed once, for good: a block may be freed after a
// test has ended. (Sizes are looked up by address because LibTorch's raw_allocate wants the plain block as its own
// context.)
class CountingAllocator : public c10::Allocator {
 public:
  static CountingAllocator& instance() {
    static CountingAllocator* counting = [] {
      auto* made = new CountingAllocator;
      c10::SetCPUAllocator(made, 1);
      return made;
    }();
    return *counting;
  }

  c10::DataPtr allocate(size_t bytes) override {
    void* block = c10::alloc_cpu(bytes);
    const std::lock_guard lock(mutex_);
    sizes_[block] = static_cast<int64_t>(bytes);
    live_ += static_cast<int64_t>(bytes);
    peak_ = std::max(peak_, live_);
    return {block, block, &release, c10::Device(c10::DeviceType::CPU)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &release; }
  void copy_data(void* to, const void* from, size_t bytes) const override { default_copy_data(to, from, bytes); }
  int64_t live() const { return live_; }
  int64_t peak() const { return peak_; }  // since the last call of start()
  void start() { peak_ = live_; }

 private:
  CountingAllocator() = default;
  static void release(void* block) {
    CountingAllocator& self = instance();
    const std::lock_guard lock(self.mutex_);
    const auto found = self.sizes_.find(block);
    if (found != self.sizes_.end()) {
      self.live_ -= found->second;
      self.sizes_.erase(found);
    }
    c10::free_cpu(block);
  }

  std::mutex mutex_;
  std::unordered_map<void*, int64_t> sizes_;
  int64_t live_ = 0, peak_ = 0;
};

}  // namespace interlock::tests
