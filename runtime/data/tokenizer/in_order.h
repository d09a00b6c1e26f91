#pragma once
// A production line: one thread makes items, several work on them, the caller takes the results in the order of the
// items. The number of items under way is bounded, so that a slow end holds the fast one back.

#include <condition_variable>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

namespace interlock {

template <class Item, class Result>
class InOrder {
 public:
  std::function<std::optional<Item>()> produce;  // nothing: the end
  std::function<Result(Item item, int worker)> work;
  std::function<void(Result result)> consume;

  // What any of them throws ends all, and is thrown here: of several, what concerns the earliest item.
  void run(int workers) {
    most_under_way_ = 2 * static_cast<size_t>(workers) + 2;
    std::vector<std::jthread> threads;
    const Stopper stopper{*this};  // before the threads are joined, on every way out
    try {
      threads.emplace_back([this] { make_all(); });
      for (int worker = 0; worker < workers; ++worker) threads.emplace_back([this, worker] { work_all(worker); });
      consume_all();
    } catch (...) {
      stop();
      throw;
    }
  }

 private:
  struct Place {
    std::optional<Item> item;
    std::optional<Result> result;
    std::exception_ptr problem;
    bool done = false;
  };
  struct Stopper {
    InOrder& line;
    ~Stopper() { line.stop(); }
  };

  void stop() {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
    changed_.notify_all();
  }

  void make_all() {
    for (;;) {
      Place place;
      try {
        place.item = produce();
      } catch (...) {
        place.problem = std::current_exception();
      }
      const bool last = !place.item.has_value();
      place.done = last;
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [&] { return stopped_ || places_.size() < most_under_way_; });
      if (stopped_) return;
      places_.push_back(std::move(place));
      changed_.notify_all();
      if (last) return;
    }
  }

  void work_all(int worker) {
    std::unique_lock lock(mutex_);
    for (;;) {
      changed_.wait(lock, [&] { return stopped_ || next_ < first_ + places_.size(); });
      if (stopped_) return;
      Place& place = places_[next_ - first_];  // stays where it is: a deque only moves its ends
      if (!place.item) return;                 // the end
      ++next_;
      Item item = std::move(*place.item);
      lock.unlock();
      std::optional<Result> result;
      std::exception_ptr problem;
      try {
        result.emplace(work(std::move(item), worker));
      } catch (...) {
        problem = std::current_exception();
      }
      lock.lock();
      place.result = std::move(result);
      place.problem = problem;
      place.done = true;
      changed_.notify_all();
    }
  }

  void consume_all() {
    for (;;) {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [&] { return !places_.empty() && places_.front().done; });
      Place place = std::move(places_.front());
      if (place.problem) std::rethrow_exception(place.problem);
      if (!place.result) return;  // the end; its place stays, for the workers to see
      places_.pop_front();
      ++first_;
      changed_.notify_all();
      lock.unlock();
      consume(std::move(*place.result));
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Place> places_;
  size_t first_ = 0, next_ = 0;  // item numbers: of places_.front(), and of the next to be worked on
  size_t most_under_way_ = 0;
  bool stopped_ = false;
};

}  // namespace interlock
