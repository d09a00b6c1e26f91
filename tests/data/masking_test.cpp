// Which places are masked: exact counts, shares, evenness, and what the draws depend on.

#include "runtime/data/masking.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <vector>

#include "tests/data/support.h"

namespace interlock {
namespace {

struct Masked {
  std::vector<int64_t> tokens, targets;
  bool operator==(const Masked&) const = default;
};

Masking masking(const std::string& objective = "", uint64_t seed = 1) {
  return Masking(Config::from_text("[objective]\n" + objective).section("objective"), seed);
}

Masked apply(const Masking& mask, size_t count, Split split = Split::training, uint64_t epoch = 0,
             uint64_t sample = 0) {
  Masked result;
  for (size_t i = 0; i < count; ++i) {
    result.tokens.push_back(byte_tokens::of_byte(static_cast<uint8_t>('a' + i % 26)));
    result.targets.push_back(ignored_target);
  }
  mask.apply(MaskVocabulary::of_bytes(), {split, epoch, sample}, result.tokens, result.targets);
  return result;
}

TEST(Masking, PredictsTheRoundedShareButAtLeastOne) {
  const Masking mask = masking();
  for (const auto& [count, expected] : std::vector<std::pair<int64_t, int64_t>>{
           {0, 0}, {1, 1}, {2, 1}, {6, 1}, {10, 2}, {62, 9}, {100, 15}, {1000, 150}}) {
    EXPECT_EQ(mask.predicted(count), expected) << count;
    for (uint64_t sample = 0; sample < 20; ++sample) {
      const Masked one = apply(mask, static_cast<size_t>(count), Split::training, 0, sample);
      EXPECT_EQ(std::ranges::count_if(one.targets, [](int64_t t) { return t != ignored_target; }), expected);
    }
  }
  EXPECT_EQ(masking("mask_rate = 1.0").predicted(62), 62);
}

TEST(Masking, LeavesEverythingElseAsItWas) {
  const Masking mask = masking("mask_rate = 0.5");
  for (uint64_t sample = 0; sample < 100; ++sample) {
    const Masked one = apply(mask, 40, Split::training, 3, sample);
    for (size_t i = 0; i < 40; ++i) {
      const int64_t original = byte_tokens::of_byte(static_cast<uint8_t>('a' + i % 26));
      if (one.targets[i] == ignored_target) {
        EXPECT_EQ(one.tokens[i], original);
      } else {
        EXPECT_EQ(one.targets[i], original);
        EXPECT_TRUE(one.tokens[i] == byte_tokens::mask || byte_tokens::is_byte(one.tokens[i]));
      }
    }
  }
}

TEST(Masking, SharesAndEvenness) {
  const Masking mask = masking();
  constexpr int samples = 20000;
  constexpr size_t length = 62, predicted = 9;
  std::vector<int> places(length);
  int masked = 0, kept = 0;
  std::vector<int> random_bytes(256);
  for (uint64_t sample = 0; sample < samples; ++sample) {
    const Masked one = apply(mask, length, Split::training, 0, sample);
    for (size_t i = 0; i < length; ++i) {
      if (one.targets[i] == ignored_target) continue;
      ++places[i];
      if (one.tokens[i] == byte_tokens::mask) {
        ++masked;
      } else if (one.tokens[i] == one.targets[i]) {
        ++kept;
      } else {
        ++random_bytes[byte_tokens::to_byte(one.tokens[i])];
      }
    }
  }
  // Bounds are 5 standard deviations of the binomial counts: one of these ~320 checks fails by chance once in 5,000
  // keys, and the key is fixed.
  const auto near = [](int count, double trials, double share) {
    EXPECT_NEAR(count, trials * share, 5 * std::sqrt(trials * share * (1 - share)));
  };
  constexpr double all = double{samples} * predicted;
  near(masked, all, 0.8);
  near(kept, all, 0.1 + 0.1 / 256);  // a random byte may be the true one
  for (const int count : places) near(count, samples, double{predicted} / length);
  for (size_t byte = 0; byte < 256; ++byte) {
    const bool letter = byte >= 'a' && byte <= 'z';  // 1/26 of the draws hit the true letter and count as kept
    near(random_bytes[byte], all, 0.1 / 256 * (letter ? 25.0 / 26 : 1));
  }
}

TEST(Masking, DrawsDependOnSeedSplitEpochAndSampleOnly) {
  const Masking mask = masking();
  const Masked base = apply(mask, 200, Split::training, 2, 7);
  EXPECT_EQ(apply(mask, 200, Split::training, 2, 7), base);
  EXPECT_EQ(apply(masking(), 200, Split::training, 2, 7), base);
  std::set<std::vector<int64_t>> different = {base.targets};
  different.insert(apply(masking("", 2), 200, Split::training, 2, 7).targets);
  different.insert(apply(mask, 200, Split::held_out, 2, 7).targets);
  different.insert(apply(mask, 200, Split::training, 3, 7).targets);
  different.insert(apply(mask, 200, Split::training, 2, 8).targets);
  EXPECT_EQ(different.size(), 5u);
}

TEST(Masking, RefusesSharesThatMakeNoSense) {
  for (const std::string bad : {"mask_rate = 0.0", "mask_rate = 1.5", "mask_rate = -0.1", "mask_share = 0.95",
                                "random_share = 0.3", "mask_share = -1"}) {
    const auto error = error_of([&] { masking(bad); });
    ASSERT_TRUE(error) << bad;
    EXPECT_EQ(error->code(), ExitCode::config);
    EXPECT_NE(std::string(error->what()).find("objective."), std::string::npos) << error->what();
  }
  EXPECT_FALSE(error_of([] { masking("mask_share = 0.9\nrandom_share = 0.1"); }));
}

}  // namespace
}  // namespace interlock
