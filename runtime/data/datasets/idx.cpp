// Dataset `idx`: images and labels in the IDX files of MNIST and its relatives, for the `mlp` model. An image is its
// pixels, divided by 255, in one row. Format: two zero bytes, element type (8: unsigned byte), number of dimensions,
// the dimensions as big-endian u32, the elements.

#include <ATen/ops/empty.h>

#include <algorithm>
#include <cassert>
#include <cmath>
#include <limits>
#include <optional>

#include "runtime/core/random.h"
#include "runtime/data/dataset.h"
#include "runtime/data/sample_order.h"
#include "runtime/storage/mapped_file.h"

namespace interlock {
namespace {

// The elements of one file, `width` bytes for each of `count` items; refuses what is not IDX of unsigned bytes.
struct IdxFile {
  MappedFile file;
  int64_t count = 0, width = 1;
  const std::byte* data = nullptr;

  explicit IdxFile(const std::string& path) : file(path) {
    const auto bytes = file.bytes();
    const auto refuse = [&](const std::string& what) { throw Error(ExitCode::bad_input, message(path, ": ", what)); };
    const auto at = [&](size_t i) { return std::to_integer<uint64_t>(bytes[i]); };
    if (bytes.size() < 4 || at(0) != 0 || at(1) != 0 || at(2) != 8) {
      refuse("no IDX file of unsigned bytes (a compressed one must be unpacked first)");
    }
    const size_t dimensions = at(3), header = 4 + 4 * dimensions;
    if (dimensions < 1 || dimensions > 4 || bytes.size() < header)
      refuse("its IDX header is cut short or has no dimension");
    uint64_t expected = 1;
    for (size_t d = 0; d < dimensions; ++d) {
      const size_t place = 4 + 4 * d;
      const uint64_t size = at(place) << 24 | at(place + 1) << 16 | at(place + 2) << 8 | at(place + 3);
      if (size == 0) refuse("it holds nothing");
      if (d == 0) count = static_cast<int64_t>(size);
      if (__builtin_mul_overflow(expected, size, &expected)) refuse("its dimensions do not fit any file");
    }
    if (expected != bytes.size() - header) refuse(message("its ", bytes.size(), " bytes do not fit its dimensions"));
    width = static_cast<int64_t>(expected) / count;
    data = bytes.data() + header;
  }
};

class IdxDataset : public Dataset {
 public:
  explicit IdxDataset(const DatasetSettings& settings) : data_(settings.data), seed_(settings.seed) {
    read_objective(settings.objective, {Objective::classification});
    paths_[0] = data_.text("images", "");
    paths_[1] = data_.text("labels", "");
    paths_[2] = data_.text("validation_images", "");
    paths_[3] = data_.text("validation_labels", "");
    features_ = data_.integer("features", 784, 1, 1 << 24);
    classes_ = data_.integer("classes", 10, 2, 256);
    share_ = read_held_out(data_);
  }

  void open() override {
    for (const size_t i : {0u, 1u}) {
      if (paths_[i].empty()) data_.refuse(keys[i], "is needed: the path of an IDX file");
    }
    if (paths_[2].empty() != paths_[3].empty()) {
      data_.refuse(keys[paths_[2].empty() ? 2 : 3], "is needed beside its partner: images and labels go together");
    }
    images_ = open_pair(0);
    if (!paths_[2].empty()) {
      validation_ = open_pair(2);
      training_ = images_->images.count;
      held_out_ = validation_->images.count;
      return;
    }
    const int64_t count = images_->images.count;
    held_out_ = held_out_count(share_, count);
    training_ = count - held_out_;
  }

  int64_t samples(Split split) const override {
    assert(images_ && "open() comes first");
    return split == Split::training ? training_ : held_out_;
  }
  int64_t classes() const override { return classes_; }
  int64_t features() const override { return features_; }
  int64_t sample_length() const override { return 1; }
  Objective objective() const override { return Objective::classification; }
  int64_t predicted(Split, std::span<const int64_t> numbers) const override {
    return static_cast<int64_t>(numbers.size());
  }

  Batch batch(Split split, std::span<const int64_t> numbers, BatchParts parts) const override {
    const auto rows = static_cast<int64_t>(numbers.size());
    Batch batch;
    batch.sample_ids.assign(numbers.begin(), numbers.end());
    batch.predicted = rows;
    if (parts.inputs) {
      batch.inputs = at::empty({rows, features_}, at::kFloat);
      float* inputs = batch.inputs.mutable_data_ptr<float>();
      for (int64_t row = 0; row < rows; ++row)
        read_pixels(find(split, numbers[static_cast<size_t>(row)]), inputs + row * features_);
    }
    if (parts.targets) {
      batch.targets = at::empty({rows}, at::kLong);
      std::ranges::transform(numbers, batch.targets.mutable_data_ptr<int64_t>(),
                             [&](int64_t number) { return static_cast<int64_t>(label(split, number)); });
    }
    return batch;
  }

  // Class frequencies of the training images with add-one smoothing, as for text.
  double unigram_baseline(int64_t count) const override {
    count = std::min(count, held_out_);
    if (count <= 0) return std::numeric_limits<double>::quiet_NaN();
    std::vector<int64_t> frequencies(static_cast<size_t>(classes_), 1);
    for (int64_t number = 0; number < training_; ++number) ++frequencies[label(Split::training, number)];
    double loss = 0;
    for (int64_t number = 0; number < count; ++number) {
      loss += std::log(static_cast<double>(training_ + classes_) /
                       static_cast<double>(frequencies[label(Split::held_out, number)]));
    }
    return loss / static_cast<double>(count);
  }

  std::string describe(const Batch& batch, int64_t row) const override {
    assert(row >= 0 && row < batch.inputs.size(0));
    const float* pixels = batch.inputs.const_data_ptr<float>() + row * features_;
    const auto lit = std::count_if(pixels, pixels + features_, [](float pixel) { return pixel > 0.5f; });
    return message("image of ", features_, " pixels, ", lit, " of them bright, class ",
                   batch.targets.const_data_ptr<int64_t>()[row]);
  }

 private:
  static constexpr const char* keys[] = {"images", "labels", "validation_images", "validation_labels"};

  struct Pair {
    Pair(const std::string& image_path, const std::string& label_path) : images(image_path), labels(label_path) {}
    IdxFile images, labels;
    int64_t label(int64_t item) const { return std::to_integer<int64_t>(labels.data[item]); }
  };
  struct Found {
    const Pair& pair;
    int64_t item;
  };

  std::shared_ptr<const Pair> open_pair(size_t first) const {
    auto pair = std::make_shared<const Pair>(paths_[first], paths_[first + 1]);
    if (pair->images.count != pair->labels.count || pair->labels.width != 1) {
      throw Error(ExitCode::bad_input,
                  message(paths_[first], " has ", pair->images.count, " images, ", paths_[first + 1], " has ",
                          pair->labels.count, " labels of ", pair->labels.width, " bytes"));
    }
    if (pair->images.width != features_) {
      throw Error(ExitCode::bad_input, message(paths_[first], ": an image has ", pair->images.width,
                                               " pixels, data.features says ", features_));
    }
    for (int64_t item = 0; item < pair->labels.count; ++item) {
      if (pair->label(item) >= classes_) {
        throw Error(ExitCode::bad_input, message(paths_[first + 1], ": label ", pair->label(item), " of image ", item,
                                                 " is not below data.classes = ", classes_));
      }
    }
    return pair;
  }

  // Without validation files a keyed shuffle decides which images are held out; each split then has a shuffle of its
  // own.
  Found find(Split split, int64_t number) const {
    const bool training = split == Split::training;
    const int64_t in_split = shuffled(seed_, split, number, samples(split)).sample;
    if (validation_) return {training ? *images_ : *validation_, in_split};
    const RandomKey which = random_key(seed_, Purpose::sample_order, 0, 0, 2);
    const auto place = static_cast<uint64_t>(in_split + (training ? 0 : training_));
    return {*images_, static_cast<int64_t>(permuted(which, place, static_cast<uint64_t>(training_ + held_out_)))};
  }
  void read_pixels(Found found, float* out) const {
    const std::byte* pixels = found.pair.images.data + found.item * features_;
    for (int64_t i = 0; i < features_; ++i) out[i] = static_cast<float>(std::to_integer<uint8_t>(pixels[i])) / 255;
  }
  size_t label(Split split, int64_t number) const {
    const Found found = find(split, number);
    return static_cast<size_t>(found.pair.label(found.item));
  }

  Section data_;
  uint64_t seed_;
  std::string paths_[4];
  int64_t features_ = 0, classes_ = 0, training_ = 0, held_out_ = 0;
  double share_ = 0;
  std::shared_ptr<const Pair> images_, validation_;
};

const Registration<Dataset, const DatasetSettings&> registered("idx", [](const DatasetSettings& settings) {
  return std::make_unique<IdxDataset>(settings);
});

}  // namespace
}  // namespace interlock
