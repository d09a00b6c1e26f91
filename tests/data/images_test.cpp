// The datasets `cifar` and `images`: every sample once per epoch with its label, files of both, and refusals.
#include <filesystem>
#include <fstream>
#include <functional>
#include <set>

#include "tests/data/support.h"

namespace interlock {
namespace {

namespace fs = std::filesystem;

// CIFAR files whose record r of file f is filled with one value; the label follows from it.
void write_cifar(const std::string& path, int first, int count, int labels = 1) {
  std::string bytes;
  for (int value = first; value < first + count; ++value) {
    for (int i = 0; i < labels; ++i) bytes += static_cast<char>(value % 10);
    bytes += std::string(3072, static_cast<char>(value));
  }
  put(path, bytes);
}

std::string refusal(const std::function<void()>& act) {
  try {
    act();
  } catch (const Error& error) {
    return error.what();
  }
  return "nothing was refused";
}

std::string words_of_opening(const std::string& name, const std::string& toml) {
  return refusal([&] { make_dataset(name, toml)->open(); });
}

class Cifar : public testing::Test {
 protected:
  Cifar() {
    write_cifar(folder_.file("data_batch_1.bin"), 0, 30);
    write_cifar(folder_.file("data_batch_2.bin"), 30, 30);
    write_cifar(folder_.file("test_batch.bin"), 200, 20);
  }
  std::unique_ptr<Dataset> open(const std::string& more = "") const {
    auto dataset = make_dataset("cifar", toml(more));
    dataset->open();
    return dataset;
  }
  std::string toml(const std::string& more = "") const {
    return "[data]\npath = " + quoted(fs::path(folder_.file("x")).parent_path().string()) + "\nmean = []\nstd = []\n" +
           more;
  }
  // The values seen in a split, each with its label checked.
  static std::multiset<int> seen(const Dataset& dataset, Split split, int64_t from = 0) {
    const Batch batch = dataset.batch(split, numbers(from, dataset.samples(split)));
    std::multiset<int> found;
    for (int64_t row = 0; row < batch.inputs.size(0); ++row) {
      const int value = static_cast<int>(std::lround(batch.inputs[row][1500].item<float>() * 255));
      EXPECT_EQ(batch.targets[row].item<int64_t>(), value % 10);
      found.insert(value);
    }
    return found;
  }
  TemporaryFolder folder_;
};

TEST_F(Cifar, EveryImageOncePerEpochAndTheTestApart) {
  const auto dataset = open();
  EXPECT_EQ(dataset->image(), (ImageShape{3, 32, 32}));
  std::multiset<int> training, test;
  for (int i = 0; i < 60; ++i) training.insert(i);
  for (int i = 200; i < 220; ++i) test.insert(i);
  EXPECT_EQ(seen(*dataset, Split::training), training);
  EXPECT_EQ(seen(*dataset, Split::training, 60), training);
  EXPECT_EQ(seen(*dataset, Split::held_out), test);
  const auto part = open("validation = 'training'\nheld_out = 0.25\n");
  const auto kept = seen(*part, Split::training), held = seen(*part, Split::held_out);
  EXPECT_EQ(kept.size(), 45U);
  EXPECT_EQ(held.size(), 15U);
  for (const int value : held) EXPECT_FALSE(kept.contains(value));
}

TEST_F(Cifar, AugmentsTrainingAloneByEpochAndSample) {
  const auto dataset = open("crop_padding = 4\nflip = true\n");
  const Batch first = dataset->batch(Split::training, numbers(0, 60));
  const Batch again = dataset->batch(Split::training, numbers(20, 10));
  EXPECT_TRUE(first.inputs.narrow(0, 20, 10).equal(again.inputs));
  // A shifted window shows black edges.
  EXPECT_GT(first.inputs.eq(0).sum().item<int64_t>(), 60 * 3 * 32);
  const Batch held = dataset->batch(Split::held_out, numbers(0, 20));
  EXPECT_EQ(held.inputs.eq(0).sum().item<int64_t>(), 0);
}

TEST_F(Cifar, RefusesWhatIsNotThere) {
  EXPECT_NE(words_of_opening("cifar", "[data]\n").find("data.path"), std::string::npos);
  EXPECT_NE(words_of_opening("cifar", "[data]\npath = '/nowhere'\n").find("data_batch_1.bin"), std::string::npos);
  EXPECT_NE(words_of_opening("cifar", toml("classes = 11\n")).find("data.classes"), std::string::npos);
  EXPECT_NE(words_of_opening("cifar", toml("classes = 100\n")).find("train.bin"), std::string::npos);
}

class Images : public testing::Test {
 protected:
  // Folders of classes with the images named.
  std::string write(const std::string& root, const std::map<std::string, std::vector<std::string>>& classes) const {
    for (const auto& [name, files] : classes) {
      fs::create_directories(folder_.file(root + "/" + name));
      int number = 0;
      for (const std::string& file : files)
        fs::copy_file(INTERLOCK_GOLDEN "/images/" + file,
                      folder_.file(root + "/" + name + "/" + std::to_string(number++) + file));
    }
    return quoted(folder_.file(root));
  }
  static std::string toml(const std::string& path, const std::string& more = "", const std::string& width = "12") {
    return "[data]\npath = " + path + "\nheight = 9\nwidth = " + width + "\nheld_out = 0\n" + more;
  }
  TemporaryFolder folder_;
};

TEST_F(Images, AreLabelledByTheirFolder) {
  const std::string path = write("a", {{"cat", {"colour.png", "colour.jpg"}}, {"dog", {"palette.png", "grey.png"}}});
  const auto dataset = make_dataset("images", toml(path));
  EXPECT_EQ(dataset->classes(), 2);  // before anything is opened
  dataset->open();
  EXPECT_EQ(dataset->labels(), (std::vector<std::string>{"cat", "dog"}));
  EXPECT_EQ(dataset->samples(Split::training), 4);
  ASSERT_EQ(dataset->notes().size(), 1U);
  EXPECT_NE(dataset->notes().front().find("1 grey"), std::string::npos);
  const Batch batch = dataset->batch(Split::training, numbers(0, 4));
  EXPECT_EQ(batch.inputs.size(1), 3 * 9 * 12);
  EXPECT_EQ(batch.targets.sum().item<int64_t>(), 2);
}

TEST_F(Images, BadFoldersAndFilesAreRefusedByName) {
  const auto words = [&](const std::string& root, const std::map<std::string, std::vector<std::string>>& classes,
                         const std::string& more = "", const std::string& width = "12") {
    return words_of_opening("images", toml(write(root, classes), more, width));
  };
  EXPECT_NE(words("empty", {{"cat", {"colour.png"}}, {"dog", {}}}).find("a class without an image"), std::string::npos);
  EXPECT_NE(words("none", {}).find("none"), std::string::npos);
  EXPECT_NE(words("deep", {{"cat", {"colour.png"}}, {"dog", {"refused_cmyk.jpg"}}}).find("CMYK"), std::string::npos);
  EXPECT_NE(words("mixed", {{"cat", {"colour.png"}}, {"dog", {"colour.jpg"}}}, "", "13").find("12 x 9"),
            std::string::npos)
      << "a size other than that of the data";
  EXPECT_NE(words("grey", {{"cat", {"grey.png", "colour.png"}}}, "channels = 1\n").find("data.channels"),
            std::string::npos);
  const std::string other = write("other", {{"bird", {"colour.png"}}});
  EXPECT_NE(words("first", {{"cat", {"colour.png"}}, {"dog", {"colour.png"}}}, "validation_path = " + other + "\n")
                .find("bird"),
            std::string::npos);
  // A body cut short is found when it is read, by name.
  write("cut", {{"cat", {"colour.jpg"}}, {"dog", {"colour.jpg"}}});
  const std::string cut = folder_.file("cut/dog/0colour.jpg");
  fs::resize_file(cut, fs::file_size(cut) - 30);
  const auto dataset = make_dataset("images", toml(quoted(folder_.file("cut"))));
  dataset->open();
  EXPECT_NE(refusal([&] { dataset->batch(Split::training, numbers(0, 2)); }).find(cut), std::string::npos);
}

}  // namespace
}  // namespace interlock
