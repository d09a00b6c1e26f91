// The text dataset against its files: every byte once per epoch, held-out apart, baseline by direct count, errors.

#include <algorithm>
#include <cmath>
#include <random>

#include "tests/data/support.h"

namespace interlock {
namespace {

class Text : public testing::Test {
 protected:
  // Random bytes of all values, so that nothing depends on UTF-8.
  std::string file(const std::string& name, size_t size) {
    std::string content;
    for (size_t i = 0; i < size; ++i) content += static_cast<char>(random_());
    put(folder_.file(name), content);
    return content;
  }
  std::string folder() const { return quoted(folder_.path().string()); }
  TemporaryFolder folder_;
  std::mt19937 random_{11};
};

TEST_F(Text, AnEpochIsEveryByteOfTheFilesOnce) {
  std::vector<std::string> files;
  for (size_t size : {1, 61, 62, 63, 124, 1000, 5000}) files.push_back(file(std::to_string(size), size));
  const auto dataset = text_dataset(folder(), "held_out = 0.0");
  const auto expected = chunks_of(files, 62);
  const int64_t epoch = dataset->samples(Split::training);
  EXPECT_EQ(epoch, 1 + 1 + 1 + 2 + 2 + 17 + 81);
  EXPECT_EQ(dataset->samples(Split::held_out), 0);
  EXPECT_EQ(dataset->content(), SampleContent::bytes);
  EXPECT_EQ(dataset->tokenizer(), nullptr);
  for (int64_t e = 0; e < 3; ++e) {
    EXPECT_EQ(contents(*dataset, Split::training, numbers(e * epoch, epoch)), expected) << "epoch " << e;
  }
}

TEST_F(Text, EpochsDifferInOrderAndMasks) {
  file("a", 62 * 50);
  const auto dataset = text_dataset(folder(), "held_out = 0.0");
  std::map<std::string, std::pair<int64_t, std::vector<int64_t>>> first;
  int moved = 0, remasked = 0;
  for (int64_t number = 0; number < 100; ++number) {
    const Batch batch = dataset->batch(Split::training, {&number, 1});
    const auto targets = row(batch.targets, 0);
    std::vector<int64_t> places;
    for (size_t i = 0; i < targets.size(); ++i) {
      if (targets[i] != ignored_target) places.push_back(static_cast<int64_t>(i));
    }
    const auto [found, fresh] = first.try_emplace(original(batch, 0), number, places);
    if (fresh) continue;
    moved += found->second.first != number - 50;
    remasked += found->second.second != places;
  }
  EXPECT_GT(moved, 40);     // a random order keeps one sample in place on average
  EXPECT_EQ(remasked, 50);  // two draws of 9 of 62 places are equal with probability 1e-10
}

TEST_F(Text, HeldOutIsApartCompleteAndFixed) {
  std::vector<std::string> files;
  for (int i = 0; i < 60; ++i) files.push_back(file("f" + std::to_string(i), 100 + static_cast<size_t>(i)));
  files.push_back(files[3]);  // a copy
  put(folder_.file("copy"), files[3]);
  const auto dataset = text_dataset(folder(), "held_out = 0.3\nsequence_length = 40");
  const int64_t training = dataset->samples(Split::training), held = dataset->samples(Split::held_out);
  auto all = contents(*dataset, Split::training, numbers(0, training));
  const auto apart = contents(*dataset, Split::held_out, numbers(0, held));
  ASSERT_GT(held, 0);
  for (const auto& [content, times] : apart) {
    EXPECT_FALSE(all.contains(content));
    all[content] += times;
  }
  EXPECT_EQ(all, chunks_of(files, 38));
  const auto again = text_dataset(folder(), "held_out = 0.3\nsequence_length = 40");
  const Batch once = dataset->batch(Split::held_out, numbers(0, held)),
              twice = again->batch(Split::held_out, numbers(0, held));
  for (int64_t i = 0; i < held; ++i) {
    EXPECT_EQ(row(once.inputs, i), row(twice.inputs, i));
    EXPECT_EQ(row(once.targets, i), row(twice.targets, i));
  }
}

TEST_F(Text, BatchesHaveLengthsOnlyWhenPadded) {
  file("whole", 62 * 4);
  file("short", 10);
  const auto dataset = text_dataset(folder(), "held_out = 0.0");
  int padded = 0;
  for (int64_t number = 0; number < 5; ++number) {
    const Batch batch = dataset->batch(Split::training, {&number, 1});
    EXPECT_EQ(batch.inputs.sizes(), (std::vector<int64_t>{1, 64}));
    EXPECT_EQ(batch.sample_ids, std::vector<int64_t>{number});
    if (!batch.lengths.defined()) continue;
    ++padded;
    EXPECT_EQ(batch.lengths.const_data_ptr<int64_t>()[0], 12);
  }
  EXPECT_EQ(padded, 1);
  const Batch all = dataset->batch(Split::training, numbers(0, 5));
  ASSERT_TRUE(all.lengths.defined());
  int64_t sum = 0;
  for (int64_t i = 0; i < 5; ++i) sum += all.lengths.const_data_ptr<int64_t>()[i];
  EXPECT_EQ(sum, 4 * 64 + 12);
}

TEST_F(Text, PredictedCountsWithoutBuilding) {
  file("a", 1234);
  file("b", 77);
  const auto dataset = text_dataset(folder(), "held_out = 0.2");
  for (const Split split : {Split::training, Split::held_out}) {
    const auto list = numbers(0, dataset->samples(split));
    const Batch batch = dataset->batch(split, list);
    int64_t targets = 0;
    for (int64_t i = 0; i < batch.targets.numel(); ++i)
      targets += batch.targets.const_data_ptr<int64_t>()[i] != ignored_target;
    EXPECT_EQ(batch.predicted, targets);
    EXPECT_EQ(dataset->predicted(split, list), targets);
  }
}

TEST_F(Text, UnigramBaselineByDirectCount) {
  // Skewed bytes, and one value that only the held-out tail has.
  std::string text;
  for (int i = 0; i < 6200; ++i) text += "aaaabbc\xff"[random_() % 8];
  std::string tail(620, 'a');
  for (size_t i = 0; i < tail.size(); i += 2) tail[i] = 'Z';
  put(folder_.file("only"), text + tail);
  const auto dataset = text_dataset(folder(), "held_out = 0.0910");  // 620 of 6820 bytes
  ASSERT_EQ(dataset->samples(Split::held_out), 10);
  for (const int64_t count : {1, 4, 10}) {
    double loss = 0;
    int64_t targets = 0;
    const Batch batch = dataset->batch(Split::held_out, numbers(0, count));
    for (int64_t i = 0; i < batch.targets.numel(); ++i) {
      const int64_t target = batch.targets.const_data_ptr<int64_t>()[i];
      if (target == ignored_target) continue;
      const auto times = std::ranges::count(text, static_cast<char>(byte_tokens::to_byte(target)));
      loss -= std::log((static_cast<double>(times) + 1) / (6200 + 256));
      ++targets;
    }
    EXPECT_NEAR(dataset->unigram_baseline(count), loss / static_cast<double>(targets),
                1e-12);  // sums of doubles near 8
  }
  EXPECT_EQ(dataset->unigram_baseline(1000), dataset->unigram_baseline(10));
  EXPECT_TRUE(std::isnan(text_dataset(folder(), "held_out = 0.0")->unigram_baseline(10)));
}

TEST_F(Text, DescribesForPeople) {
  put(folder_.file("a"), std::string("a\n\t\\\xff") + '\0');
  const auto dataset = text_dataset(folder(), "held_out = 0.0\nsequence_length = 8");
  Batch batch = dataset->batch(Split::training, numbers(0, 1));
  int64_t* inputs = batch.inputs.mutable_data_ptr<int64_t>();
  int64_t* targets = batch.targets.mutable_data_ptr<int64_t>();
  for (int i = 1; i < 7; ++i) {
    inputs[i] = byte_tokens::of_byte(static_cast<uint8_t>("a\n\t\\\xff\0"[i - 1]));
    targets[i] = ignored_target;
  }
  EXPECT_EQ(dataset->describe(batch, 0), "<s>a\\n\\t\\\\\\xff\\x00</s>");
  targets[1] = inputs[1];
  targets[2] = inputs[2];
  inputs[2] = byte_tokens::mask;
  targets[3] = inputs[3];
  inputs[3] = byte_tokens::of_byte('q');
  EXPECT_EQ(dataset->describe(batch, 0), "<s>[keep:a][mask:\\n][random:q<-\\t]\\\\\\xff\\x00</s>");
}

TEST_F(Text, FiveThousandSmallFiles) {
  std::vector<std::string> files;
  for (int i = 0; i < 5000; ++i) files.push_back(file("f" + std::to_string(i), 5 + static_cast<size_t>(i % 20)));
  const auto dataset = text_dataset(folder(), "held_out = 0.0");
  EXPECT_EQ(contents(*dataset, Split::training, numbers(0, 5000)), chunks_of(files, 62));
}

TEST_F(Text, SettingsThatCannotWork) {
  file("a", 1000);
  const auto expect = [&](const auto& call, ExitCode code, const std::vector<std::string>& parts) {
    const auto error = error_of(call);
    ASSERT_TRUE(error) << parts[0];
    EXPECT_EQ(error->code(), code);
    for (const std::string& part : parts)
      EXPECT_NE(std::string(error->what()).find(part), std::string::npos) << error->what();
  };
  const std::string data = "[data]\npaths = [" + folder() + "]\n";
  expect([&] { text_dataset(""); }, ExitCode::config, {"data.paths"});
  expect([&] { text_dataset("'/no/such/file'"); }, ExitCode::bad_input, {"/no/such/file", "does not exist"});
  expect([&] { text_dataset(folder(), "sequence_length = 1003"); }, ExitCode::bad_input, {"1000 bytes", "1001"});
  expect([&] { text_dataset(folder(), "sequence_length = 2"); }, ExitCode::config, {"data.sequence_length"});
  expect([&] { text_dataset(folder(), "held_out = 1.0"); }, ExitCode::config, {"data.held_out"});
  expect([&] { text_dataset(folder(), "held_out = -0.1"); }, ExitCode::config, {"data.held_out"});
  expect([&] { make_dataset("text", data + "[objective]\nname = \"next_token\""); }, ExitCode::config,
         {"objective.name"});
  EXPECT_FALSE(error_of([&] { make_dataset("text", data); }));
  EXPECT_FALSE(
      error_of([&] { make_dataset("text", "[data]\npaths = ['/no/such/file']"); }));  // files are read by open()
  put(folder_.file("a"), "");
  expect([&] { text_dataset(folder()); }, ExitCode::bad_input, {"no bytes found", folder_.path().string()});
}

}  // namespace
}  // namespace interlock
