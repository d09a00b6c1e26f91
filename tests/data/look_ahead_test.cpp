// Items made ahead: all of them, once, in order, no further than was said; errors and endings at any moment.

#include "runtime/data/look_ahead.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <random>
#include <string>
#include <vector>

namespace interlock {
namespace {

using namespace std::chrono_literals;
using Numbers = LookAhead<int, std::string>;

// 0 .. count - 1.
Numbers::Sequence counting(int count, std::function<std::string(const int&)> make) {
  return {count > 0 ? std::optional(0) : std::nullopt,
          [count](const int& place) { return place + 1 < count ? std::optional(place + 1) : std::nullopt; },
          std::move(make)};
}
std::string item(int place) { return "item " + std::to_string(place); }

// Until the thread has come so far; it is our own, and comes.
void wait_for(const std::atomic<int>& value, int least) {
  while (value < least) std::this_thread::sleep_for(100us);
}

TEST(LookAhead, EveryItemOnceInOrderAndNoFurtherThanSaid) {
  constexpr int count = 200;
  for (const size_t ahead : {1u, 2u, 5u}) {
    std::atomic<int> asked = -1;
    std::vector<int> made;  // by the thread; read after its end
    bool too_far = false;
    {
      Numbers numbers(counting(count,
                               [&](const int& place) {
                                 made.push_back(place);
                                 too_far |= place > asked + static_cast<int>(ahead);
                                 return item(place);
                               }),
                      ahead);
      for (int place = 0; place < count; ++place) {
        asked = place;
        EXPECT_EQ(numbers.take(place), item(place));
      }
    }
    EXPECT_FALSE(too_far) << ahead;
    ASSERT_EQ(made.size(), static_cast<size_t>(count));
    for (int place = 0; place < count; ++place) EXPECT_EQ(made[static_cast<size_t>(place)], place);
  }
}

TEST(LookAhead, WorksAheadAndThenSleeps) {
  std::atomic<int> made = 0;
  Numbers numbers(counting(100,
                           [&](const int& place) {
                             ++made;
                             return item(place);
                           }),
                  3);
  wait_for(made, 3);  // before anything was asked for
  std::this_thread::sleep_for(5ms);
  EXPECT_EQ(made, 3);
  numbers.take(0);
  wait_for(made, 4);  // 1 to 3 beyond 0
  std::this_thread::sleep_for(5ms);
  EXPECT_EQ(made, 4);
}

TEST(LookAhead, AnyOrder) {
  std::mt19937 random(3);
  for (int round = 0; round < 50; ++round) {
    std::vector<int> places(40);
    for (int i = 0; i < 40; ++i) places[static_cast<size_t>(i)] = i;
    std::ranges::shuffle(places, random);
    std::atomic<int> made = 0;
    Numbers numbers(counting(40,
                             [&](const int& place) {
                               ++made;
                               return item(place);
                             }),
                    1 + random() % 3);
    for (const int place : places) EXPECT_EQ(numbers.take(place), item(place));
    EXPECT_EQ(made, 40);
  }
}

TEST(LookAhead, AnErrorComesOutWhereItsItemIsAskedFor) {
  Numbers numbers(counting(10,
                           [](const int& place) {
                             if (place == 4) throw std::runtime_error("the file of item 4 is gone");
                             return item(place);
                           }),
                  2);
  const auto what_of = [&](int place) -> std::string {
    try {
      return numbers.take(place);
    } catch (const std::runtime_error& error) {
      return error.what();
    }
  };
  for (int place = 0; place < 4; ++place) EXPECT_EQ(what_of(place), item(place));
  for (const int place : {4, 5, 9}) EXPECT_EQ(what_of(place), "the file of item 4 is gone");
}

TEST(LookAhead, WhatNobodyMakesIsRefusedAndNotWaitedFor) {
  Numbers numbers({0, [](const int& place) { return place < 8 ? std::optional(place + 2) : std::nullopt; }, item}, 2);
  EXPECT_EQ(numbers.take(2), item(2));
  EXPECT_THROW(numbers.take(2), std::logic_error);
  EXPECT_THROW(numbers.take(5), std::logic_error) << "not in the sequence";
  EXPECT_THROW(numbers.take(-1), std::logic_error);
  EXPECT_THROW(numbers.take(10), std::logic_error);
  for (const int place : {0, 4, 6, 8}) EXPECT_EQ(numbers.take(place), item(place));
  EXPECT_THROW(numbers.take(8), std::logic_error);
  Numbers empty(counting(0, item), 2);
  EXPECT_THROW(empty.take(0), std::logic_error);
}

TEST(LookAhead, EndsAtAnyMoment) {
  for (int round = 0; round < 300; ++round) {
    std::atomic<int> made = 0;
    Numbers numbers(counting(round % 4,
                             [&](const int& place) {
                               if (round % 7 == 0) throw std::runtime_error("no");
                               ++made;
                               return item(place);
                             }),
                    1 + static_cast<size_t>(round % 3));
    if (round % 7 != 0 && round % 4 > 0 && round % 2 == 0) numbers.take(0);
  }
  // While an item is being made: that one is waited for, and no other is begun.
  std::atomic<int> begun = 0;
  {
    Numbers numbers(counting(100,
                             [&](const int& place) {
                               ++begun;
                               std::this_thread::sleep_for(5ms);
                               return item(place);
                             }),
                    50);
    wait_for(begun, 1);
  }
  EXPECT_LT(begun, 50) << "what nobody asks for any more is not made";
}

TEST(LookAhead, WhatIsReadyIsNotWaitedFor) {
  std::atomic<int> begun = -1;
  Numbers numbers(counting(5,
                           [&](const int& place) {
                             begun = place;
                             return item(place);
                           }),
                  2);
  for (int place = 0; place < 4; ++place) {
    wait_for(begun, place + 1);  // so the item before that one is there
    numbers.take(place);
    EXPECT_EQ(numbers.seconds_waited(), 0);
  }
}

TEST(LookAhead, SaysHowLongItWasWaitedFor) {
  double waited = 0;
  // A take that the machine holds up until its item is there has waited for nothing; ten of them in a row do not occur.
  for (int attempt = 0; attempt < 10 && waited == 0; ++attempt) {
    Numbers numbers(counting(1,
                             [](const int& place) {
                               std::this_thread::sleep_for(20ms);
                               return item(place);
                             }),
                    1);
    const auto begin = std::chrono::steady_clock::now();
    numbers.take(0);
    const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - begin;
    waited = numbers.seconds_waited();
    EXPECT_LE(waited, taken.count());
  }
  EXPECT_GT(waited, 0);
}

}  // namespace
}  // namespace interlock
