// Philox against its published vectors, and what is drawn from it against what a distribution must show.

#include "runtime/core/random.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <string>
#include <vector>

namespace interlock {
namespace {

using Words = std::array<uint32_t, 4>;

// Known answers of the Random123 distribution (kat_vectors, philox4x32, 10 rounds).
TEST(Philox, GivesThePublishedAnswers) {
  EXPECT_EQ(philox({0, 0}, 0, 0), (Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox({0xffffffff, 0xffffffff}, ~uint64_t{0}, ~uint64_t{0}),
            (Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  // Digits of pi: counter 243f6a88 85a308d3 13198a2e 03707344, key a4093822 299f31d0.
  EXPECT_EQ(philox({0xa4093822, 0x299f31d0}, 0x0370734413198a2e, 0x85a308d3243f6a88),
            (Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(RandomKey, EveryArgumentCounts) {
  std::set<std::pair<uint32_t, uint32_t>> seen;
  const auto add = [&](RandomKey key) { EXPECT_TRUE(seen.insert({key.low, key.high}).second); };
  add(random_key(1, Purpose::dropout, 1, 1, 1));
  add(random_key(2, Purpose::dropout, 1, 1, 1));
  add(random_key(uint64_t{1} << 32, Purpose::dropout, 1, 1, 1));
  add(random_key(1, Purpose::masking, 1, 1, 1));
  add(random_key(1, Purpose::dropout, 2, 1, 1));
  add(random_key(1, Purpose::dropout, 1, 2, 1));
  add(random_key(1, Purpose::dropout, 1, 1, 2));
  const std::string names[] = {"",
                               "a",
                               std::string("a\0", 2),
                               "lm_head.decoder.weight",
                               "lm_head.decoder.weighs",
                               "aaaaaaaaaaaaaaaa",
                               "aaaaaaaaaaaaaaaaa"};
  for (const auto& name : names) {
    add(random_key(1, Purpose::initial_value, name));
    add(random_key(2, Purpose::initial_value, name));
    add(random_key(1, Purpose::sample_order, name));
  }
}

TEST(RandomKey, IsAPureFunction) {
  const auto once = random_key(7, Purpose::masking, 3, 2, 1), again = random_key(7, Purpose::masking, 3, 2, 1);
  EXPECT_EQ(once.low, again.low);
  EXPECT_EQ(once.high, again.high);
}

template <class T>
std::vector<T> dropout(int64_t count, double rate, RandomKey key, uint64_t sample) {
  std::vector<T> out(static_cast<size_t>(count), T{-1});
  fill_dropout(out.data(), count, rate, key, sample);
  return out;
}

// The definition in random.h, one element at a time.
double expected_dropout(int64_t i, double rate, RandomKey key, uint64_t sample) {
  const auto words = philox(key, sample, static_cast<uint64_t>(i) / 4);
  return unit_interval(words[static_cast<size_t>(i) % 4]) < rate ? 0 : 1 / (1 - rate);
}

TEST(Dropout, IsTheDefinitionForEveryLength) {
  const RandomKey key = random_key(1, Purpose::dropout, 5, 2, 1);
  const uint64_t sample = (uint64_t{9} << 32) + 3;  // both halves of the counter's upper part
  // Around the vector loop's chunk of 256 elements, and every remainder.
  for (int64_t count = 0; count <= 600; ++count) {
    const auto out = dropout<double>(count, 0.3, key, sample);
    for (int64_t i = 0; i < count; ++i) ASSERT_EQ(out[i], expected_dropout(i, 0.3, key, sample)) << count << " " << i;
  }
}

TEST(Dropout, FloatAndDoubleDecideAlike) {
  const RandomKey key = random_key(1, Purpose::dropout, 1);
  for (const double rate : {0.1, 0.5, 0.9}) {
    const auto narrow = dropout<float>(5000, rate, key, 2);
    const auto wide = dropout<double>(5000, rate, key, 2);
    for (size_t i = 0; i < wide.size(); ++i) ASSERT_EQ(narrow[i], static_cast<float>(wide[i]));
  }
}

TEST(Dropout, SamplesAndKeysDiffer) {
  const auto first = dropout<float>(1000, 0.5, {1, 2}, 0);
  EXPECT_NE(first, dropout<float>(1000, 0.5, {1, 2}, 1));
  EXPECT_NE(first, dropout<float>(1000, 0.5, {1, 2}, uint64_t{1} << 32));
  EXPECT_NE(first, dropout<float>(1000, 0.5, {2, 2}, 0));
  EXPECT_NE(first, dropout<float>(1000, 0.5, {1, 3}, 0));
}

TEST(Dropout, DropsTheRate) {
  constexpr int64_t count = 1'000'000;
  for (const double rate : {0.01, 0.1, 0.5, 0.95}) {
    const auto out = dropout<float>(count, rate, random_key(3, Purpose::dropout), 0);
    const double dropped = static_cast<double>(std::count(out.begin(), out.end(), 0.0f));
    // Five standard deviations of a binomial: one false alarm in 1.7 million keys, and the key is fixed.
    EXPECT_NEAR(dropped, count * rate, 5 * std::sqrt(count * rate * (1 - rate))) << rate;
  }
}

TEST(Dropout, EndsOfTheRange) {
  EXPECT_EQ(dropout<float>(1000, 0, {1, 2}, 0), std::vector<float>(1000, 1.0f));
  EXPECT_EQ(dropout<float>(1000, 1, {1, 2}, 0), std::vector<float>(1000, 0.0f));
}

TEST(UnitInterval, IsOpenAndUniform) {
  EXPECT_GT(unit_interval(0), 0.0);
  EXPECT_LT(unit_interval(0xffffffff), 1.0);
  constexpr int cells = 64, draws = 1 << 18;
  std::vector<double> hits(cells);
  for (uint64_t i = 0; i < draws / 4; ++i)
    for (const uint32_t word : philox({5, 6}, 0, i)) hits[static_cast<size_t>(unit_interval(word) * cells)] += 1;
  double chi_square = 0;
  for (const double hit : hits) chi_square += (hit - draws / cells) * (hit - draws / cells) / (draws / cells);
  // 63 degrees of freedom: mean 63, deviation sqrt(126) = 11.2; five deviations.
  EXPECT_LT(chi_square, 63 + 5 * 11.3);
}

TEST(Normal, HasTheMomentsOfANormal) {
  constexpr int64_t count = 1'000'000;
  std::vector<double> out(count);
  fill_normal(out.data(), count, 1.0, random_key(1, Purpose::initial_value, "w"));
  double mean = 0, square = 0, cube = 0, fourth = 0, lag = 0;
  for (size_t i = 0; i < out.size(); ++i) {
    mean += out[i] / count;
    square += out[i] * out[i] / count;
    cube += out[i] * out[i] * out[i] / count;
    fourth += out[i] * out[i] * out[i] * out[i] / count;
    if (i) lag += out[i] * out[i - 1] / count;
  }
  // Five standard errors each: variances of x, x^2, x^3, x^4 and x y of a standard normal are 1, 2, 15, 96, 1.
  const double root = 5 / std::sqrt(static_cast<double>(count));
  EXPECT_NEAR(mean, 0, root);
  EXPECT_NEAR(square, 1, root * std::sqrt(2.0));
  EXPECT_NEAR(cube, 0, root * std::sqrt(15.0));
  EXPECT_NEAR(fourth, 3, root * std::sqrt(96.0));
  EXPECT_NEAR(lag, 0, root);
}

TEST(Normal, ScalesAndKeepsItsPrefix) {
  const RandomKey key = random_key(1, Purpose::initial_value, "w");
  std::vector<double> whole(1001), part(7), doubled(1001);
  std::vector<float> narrow(1001);
  fill_normal(whole.data(), 1001, 0.02, key);
  fill_normal(part.data(), 7, 0.02, key);
  fill_normal(doubled.data(), 1001, 0.04, key);
  fill_normal(narrow.data(), 1001, 0.02, key);
  for (size_t i = 0; i < part.size(); ++i) EXPECT_EQ(part[i], whole[i]);
  for (size_t i = 0; i < whole.size(); ++i) {
    EXPECT_DOUBLE_EQ(doubled[i], 2 * whole[i]);
    EXPECT_EQ(narrow[i], static_cast<float>(whole[i]));
  }
}

TEST(Permuted, IsAPermutationOfEverySize) {
  const RandomKey key = random_key(1, Purpose::sample_order);
  for (uint64_t size = 1; size <= 2000; ++size) {
    std::vector<bool> seen(size);
    for (uint64_t i = 0; i < size; ++i) {
      const uint64_t to = permuted(key, i, size);
      ASSERT_LT(to, size);
      ASSERT_FALSE(seen[to]) << "size " << size << " index " << i;
      seen[to] = true;
    }
  }
}

TEST(Permuted, StaysInsideAndApartForHugeSizes) {
  for (const uint64_t size : {uint64_t{1} << 40, (uint64_t{1} << 40) + 12345, ~uint64_t{0}}) {
    std::set<uint64_t> seen;
    for (uint64_t i = 0; i < 2000; ++i) {
      const uint64_t to = permuted({1, 2}, size - 1 - i, size);
      EXPECT_LT(to, size);
      EXPECT_TRUE(seen.insert(to).second);
    }
    // Mixed over the whole range: 2000 uniform draws leave both outer quarters full (chance of failing below 1e-200).
    EXPECT_LT(*seen.begin(), size / 4);
    EXPECT_GT(*seen.rbegin(), size / 4 * 3);
  }
}

TEST(Permuted, FirstPlaceIsUniformOverKeys) {
  constexpr uint64_t size = 7;
  constexpr int draws = 70000;
  std::vector<double> hits(size);
  for (int i = 0; i < draws; ++i) hits[permuted(random_key(1, Purpose::sample_order, i), 0, size)] += 1;
  double chi_square = 0;
  for (const double hit : hits) chi_square += (hit - 10000) * (hit - 10000) / 10000;
  // 6 degrees of freedom: mean 6, deviation sqrt(12); a chi-square has a heavy tail, 35 is exceeded with chance 4e-6.
  EXPECT_LT(chi_square, 35);
}

}  // namespace
}  // namespace interlock
