#pragma once
// Batches of a stored model on threads. Each is computed by one thread, so that its bits do not depend on how many
// there are.

#include <ATen/Parallel.h>
#include <c10/core/GradMode.h>

#include <atomic>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace interlock {

// act(i) for i = 0 .. count - 1; `progress` is told now and then, on the calling thread, how many of them are begun.
// The first error that comes up is thrown.
template <class Act>
void for_each_batch(int64_t count, int threads, const Act& act, const std::function<void(int64_t)>& progress) {
  std::atomic<int64_t> next = 0;
  std::mutex failing;
  std::exception_ptr failure;
  const std::thread::id caller = std::this_thread::get_id();
  const auto work = [&] {
    c10::NoGradGuard no_graph;
    at::set_num_threads(1);
    try {
      for (int64_t i = next++; i < count; i = next++) {
        act(i);
        if (std::this_thread::get_id() == caller) progress(std::min(next.load(), count));
      }
    } catch (...) {
      const std::lock_guard lock(failing);
      failure = std::current_exception();
      next = count;
    }
  };
  {
    std::vector<std::jthread> workers;
    for (int i = 1; i < threads; ++i) workers.emplace_back(work);
    work();
  }
  if (failure) std::rethrow_exception(failure);
}

}  // namespace interlock
