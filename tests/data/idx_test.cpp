// Images from hand-made IDX files: pixels and labels arrive whole, once, and apart; broken files are refused.

#include <cmath>
#include <set>

#include "tests/data/support.h"

namespace interlock {
namespace {

std::string idx(const std::vector<uint32_t>& dimensions, const std::string& data) {
  std::string file("\0\0\x08", 3);
  file += static_cast<char>(dimensions.size());
  for (const uint32_t dimension : dimensions) {
    for (int shift = 24; shift >= 0; shift -= 8) file += static_cast<char>(dimension >> shift);
  }
  return file + data;
}

class Idx : public testing::Test {
 protected:
  // `count` images of 2 x 3 pixels: image i is filled with first + i, its label is i % 4.
  void write(const std::string& name, int count, int first) const {
    std::string pixels, labels;
    for (int i = 0; i < count; ++i) {
      pixels += std::string(6, static_cast<char>(first + i));
      labels += static_cast<char>(i % 4);
    }
    put(folder_.file(name + "-images"), idx({static_cast<uint32_t>(count), 2, 3}, pixels));
    put(folder_.file(name + "-labels"), idx({static_cast<uint32_t>(count)}, labels));
  }
  std::string toml(const std::string& more = "") const {
    return "[data]\nimages = " + quoted(folder_.file("t-images")) + "\nlabels = " + quoted(folder_.file("t-labels")) +
           "\nfeatures = 6\nclasses = 4\n" + more;
  }
  // Pixel values (all six are equal) seen in a split, each with its label checked.
  std::set<int> seen(const Dataset& dataset, Split split, int first, int64_t from = 0) const {
    const int64_t count = dataset.samples(split);
    const Batch batch = dataset.batch(split, numbers(from, count));
    std::set<int> found;
    for (int64_t i = 0; i < count; ++i) {
      const float* pixels = batch.inputs.const_data_ptr<float>() + 6 * i;
      const int value = static_cast<int>(std::lround(pixels[0] * 255));
      for (int p = 0; p < 6; ++p) EXPECT_EQ(pixels[p], static_cast<float>(value) / 255);
      EXPECT_EQ(batch.targets.const_data_ptr<int64_t>()[i], (value - first) % 4);
      EXPECT_TRUE(found.insert(value).second) << "an image twice in an epoch";
    }
    return found;
  }
  TemporaryFolder folder_;
};

TEST_F(Idx, EveryImageOnceAndHeldOutApart) {
  write("t", 100, 50);
  const auto dataset = make_dataset("idx", toml("held_out = 0.2"));
  dataset->open();
  const auto training = seen(*dataset, Split::training, 50), held = seen(*dataset, Split::held_out, 50);
  EXPECT_EQ(training.size(), 80u);
  EXPECT_EQ(held.size(), 20u);
  for (const int value : held) EXPECT_FALSE(training.contains(value));
  EXPECT_EQ(seen(*dataset, Split::training, 50, 80), training);  // the next epoch
  EXPECT_GT(*held.rbegin() - *held.begin(), 20);                 // a shuffle, not the last fifth
}

TEST_F(Idx, ValidationFilesAndBaseline) {
  write("t", 100, 0);
  write("v", 7, 200);
  const auto dataset = make_dataset("idx", toml("validation_images = " + quoted(folder_.file("v-images")) +
                                                "\nvalidation_labels = " + quoted(folder_.file("v-labels"))));
  dataset->open();
  EXPECT_EQ(seen(*dataset, Split::training, 0).size(), 100u);
  EXPECT_EQ(seen(*dataset, Split::held_out, 200).size(), 7u);
  EXPECT_NEAR(dataset->unigram_baseline(7), std::log(4.0), 1e-12);  // 25 training images of each class
}

TEST_F(Idx, RefusesWhatDoesNotFit) {
  const auto expect = [&](const std::string& config, ExitCode code, const std::string& reason) {
    const auto error = error_of([&] { make_dataset("idx", config)->open(); });
    ASSERT_TRUE(error) << reason;
    EXPECT_EQ(error->code(), code);
    EXPECT_NE(std::string(error->what()).find(reason), std::string::npos) << error->what();
  };
  write("t", 10, 0);
  expect("[data]\n", ExitCode::config, "data.images");
  expect(toml("validation_images = 'x'"), ExitCode::config, "data.validation_labels");
  const std::string images = get(folder_.file("t-images")), labels = get(folder_.file("t-labels"));
  for (size_t length = 0; length < images.size(); ++length) {
    put(folder_.file("t-images"), images.substr(0, length));
    expect(toml(), ExitCode::bad_input, "t-images");
  }
  put(folder_.file("t-images"), images + "x");
  expect(toml(), ExitCode::bad_input, "do not fit");
  put(folder_.file("t-images"), idx({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, "x"));
  expect(toml(), ExitCode::bad_input, "do not fit any file");
  put(folder_.file("t-images"), "\x1f\x8b\x08 a gzip file");
  expect(toml(), ExitCode::bad_input, "is compressed (gzip); unpack it first: gunzip -k");  // with the command
  put(folder_.file("t-images"), idx({5, 6}, std::string(30, 'x')));
  expect(toml(), ExitCode::bad_input, "5 images");
  put(folder_.file("t-images"), idx({10, 5}, std::string(50, 'x')));
  expect(toml(), ExitCode::bad_input, "data.features says 6");
  put(folder_.file("t-images"), images);
  put(folder_.file("t-labels"), labels.substr(0, labels.size() - 1) + '\4');
  expect(toml(), ExitCode::bad_input, "label 4 of image 9");
}

}  // namespace
}  // namespace interlock
