#pragma once
// Makes the items of a sequence in a thread of its own, a few before they are asked for. Free of LibTorch, so that it
// runs under ThreadSanitizer.

#include <cassert>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <exception>
#include <functional>
#include <iterator>
#include <map>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <stop_token>
#include <thread>
#include <utility>

namespace interlock {

// Places have an order, in which the items are made; each is asked for once, by one thread, in any order.
template <class Place, class Item>
class LookAhead {
 public:
  struct Sequence {
    std::optional<Place> first;                              // nothing: an empty sequence
    std::function<std::optional<Place>(const Place&)> next;  // a later place, or nothing after the last
    std::function<Item(const Place&)> make;
  };

  // `next` and `make` are called by the thread alone. It makes `ahead` items beyond the last place (in the order of the
  // sequence) that was asked for, and then sleeps.
  LookAhead(Sequence sequence, size_t ahead)
      : sequence_(std::move(sequence)),
        ahead_(ahead),
        next_(sequence_.first),
        thread_([this](std::stop_token stop) { make_all(stop); }) {
    assert(ahead_ >= 1);
  }
  // Waits for the item that is being made, and for no other.
  ~LookAhead() = default;
  LookAhead(const LookAhead&) = delete;

  // The item of a place, waited for when it is not there yet. What `make` or `next` threw is thrown here once the items
  // before it were handed out. std::logic_error for a place that the sequence lacks or that was taken before.
  Item take(const Place& place) {
    std::unique_lock lock(mutex_);
    if (!asked_ || *asked_ < place) asked_ = place;
    if (wants_more()) wanted_.notify_one();
    const auto decided = [&] { return ready_.contains(place) || !next_ || place < *next_; };
    if (!decided()) {
      const auto begin = std::chrono::steady_clock::now();
      made_.wait(lock, decided);
      waited_ += std::chrono::steady_clock::now() - begin;
    }
    auto found = ready_.extract(place);
    if (found) return std::move(found.mapped());
    if (problem_) std::rethrow_exception(problem_);
    throw std::logic_error("an item was asked for that the sequence lacks, or twice");
  }

  // Seconds that take() has waited for items that were not ready, since the start.
  double seconds_waited() const { return waited_.count(); }

 private:
  bool wants_more() const {
    const auto beyond = asked_ ? ready_.upper_bound(*asked_) : ready_.begin();
    return static_cast<size_t>(std::distance(beyond, ready_.end())) < ahead_;
  }

  void make_all(const std::stop_token& stop) {
    std::optional<Place> next = sequence_.first;
    try {
      while (next && wait_until_wanted(stop)) {
        const Place place = *next;
        Item item = sequence_.make(place);
        next = sequence_.next(place);
        assert(!next || place < *next);
        put(place, std::move(item), next);
      }
    } catch (...) {
      const std::lock_guard lock(mutex_);
      problem_ = std::current_exception();
      next_.reset();
    }
    made_.notify_one();
  }

  bool wait_until_wanted(const std::stop_token& stop) {
    std::unique_lock lock(mutex_);
    return wanted_.wait(lock, stop, [&] { return wants_more(); }) && !stop.stop_requested();
  }

  void put(const Place& place, Item item, const std::optional<Place>& next) {
    {
      const std::lock_guard lock(mutex_);
      ready_.emplace(place, std::move(item));
      next_ = next;
    }
    made_.notify_one();
  }

  const Sequence sequence_;
  const size_t ahead_;
  std::mutex mutex_;  // for what follows, down to the thread
  std::condition_variable_any wanted_;
  std::condition_variable made_;
  std::map<Place, Item> ready_;
  std::optional<Place> asked_;  // the last in the order of the sequence
  std::optional<Place> next_;   // the first that is not ready; nothing: all are made, or the thread has failed
  std::exception_ptr problem_;
  std::chrono::duration<double> waited_{0};  // the asking thread's alone
  std::jthread thread_;                      // last: it ends before what it uses
};

}  // namespace interlock
