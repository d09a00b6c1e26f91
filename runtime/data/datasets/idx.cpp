// Dataset `idx`: images and labels in the IDX files of MNIST and its relatives, for `mlp` and `resnet`. An image is its
// pixels, divided by 255, in one row. Format: two zero bytes, element type (8: unsigned byte), number of dimensions,
// the dimensions as big-endian u32, the elements.

#include <algorithm>
#include <cassert>
#include <cmath>

#include "runtime/core/compressed.h"
#include "runtime/data/images/image_dataset.h"
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
      const std::string compression =
          compression_of({reinterpret_cast<const char*>(bytes.data()), std::min<size_t>(bytes.size(), 8)});
      refuse(compression.empty() ? "no IDX file of unsigned bytes" : compressed_text(compression, path));
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

class IdxPair final : public ImageSource {
 public:
  IdxPair(const std::string& image_path, const std::string& label_path) : images_(image_path), labels_(label_path) {}
  const IdxFile& images() const { return images_; }
  const IdxFile& labels() const { return labels_; }
  int64_t count() const override { return images_.count; }
  int64_t label(int64_t item) const override { return std::to_integer<int64_t>(labels_.data[item]); }
  const uint8_t* planes(int64_t item, std::vector<uint8_t>&) const override {
    return reinterpret_cast<const uint8_t*>(images_.data) + item * images_.width;
  }

 private:
  IdxFile images_, labels_;
};

// Square, where the pixels make a square, unless data.height says otherwise.
ImageShape read_shape(const Section& data) {
  const int64_t features = data.integer("features", 784, 1, 1 << 24);
  const auto root = static_cast<int64_t>(std::lround(std::sqrt(static_cast<double>(features))));
  const int64_t height = data.integer("height", root * root == features ? root : 1, 1, features);
  if (features % height != 0)
    data.refuse("height", message("is ", height, ", which does not divide data.features = ", features));
  return {1, height, features / height};
}

class IdxDataset final : public ImageDataset {
 public:
  explicit IdxDataset(const DatasetSettings& settings)
      : ImageDataset(settings, read_shape(settings.data), {}), trains_(settings.training) {
    for (size_t i = 0; i < std::size(keys); ++i) paths_[i] = data().text(keys[i], "");
    classes_ = data().integer("classes", 10, 2, 256);
  }

  void open() override {
    for (const size_t i : {0u, 1u})
      if (trains_ && paths_[i].empty()) data().refuse(keys[i], "is needed: the path of an IDX file");
    if (paths_[2].empty() != paths_[3].empty())
      data().refuse(keys[paths_[2].empty() ? 2 : 3], "is needed beside its partner: images and labels go together");
    set_sources(trains_ ? open_pair(0) : nullptr, paths_[2].empty() ? nullptr : open_pair(2));
  }

  int64_t classes() const override { return classes_; }
  std::vector<std::string> evaluation_keys() const override { return {keys[2], keys[3]}; }

  std::string describe(const Batch& batch, int64_t row) const override {
    assert(row >= 0 && row < batch.inputs.size(0));
    const float* pixels = batch.inputs.const_data_ptr<float>() + row * features();
    const auto lit = std::count_if(pixels, pixels + features(), [](float pixel) { return pixel > 0.5f; });
    return message("image of ", features(), " pixels, ", lit, " of them bright, class ",
                   batch.targets.const_data_ptr<int64_t>()[row]);
  }

 private:
  static constexpr const char* keys[] = {"images", "labels", "validation_images", "validation_labels"};

  std::shared_ptr<const IdxPair> open_pair(size_t first) const {
    auto pair = std::make_shared<const IdxPair>(paths_[first], paths_[first + 1]);
    const IdxFile &images = pair->images(), &labels = pair->labels();
    if (images.count != labels.count || labels.width != 1) {
      throw Error(ExitCode::bad_input, message(paths_[first], " has ", images.count, " images, ", paths_[first + 1],
                                               " has ", labels.count, " labels of ", labels.width, " bytes"));
    }
    if (images.width != features()) {
      throw Error(ExitCode::bad_input,
                  message(paths_[first], ": an image has ", images.width, " pixels, data.features says ", features()));
    }
    for (int64_t item = 0; item < labels.count; ++item) {
      if (pair->label(item) >= classes_) {
        throw Error(ExitCode::bad_input, message(paths_[first + 1], ": label ", pair->label(item), " of image ", item,
                                                 " is not below data.classes = ", classes_));
      }
    }
    return pair;
  }

  std::string paths_[4];
  int64_t classes_ = 0;
  bool trains_;
};

const Registration<Dataset, const DatasetSettings&> registered("idx", [](const DatasetSettings& settings) {
  return std::make_unique<IdxDataset>(settings);
});

}  // namespace
}  // namespace interlock
