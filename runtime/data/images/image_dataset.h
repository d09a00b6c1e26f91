#pragma once
// What datasets of images share: splits, order, augmentation, and batches of rows. A dataset says where its images lie
// (ImageSource), and this does the rest.

#include <memory>
#include <string>
#include <vector>

#include "runtime/data/dataset.h"
#include "runtime/data/images/augmentation.h"

namespace interlock {

// Labelled images of one shape, numbered from 0. Used from several threads.
class ImageSource {
 public:
  virtual ~ImageSource() = default;
  virtual int64_t count() const = 0;
  virtual int64_t label(int64_t item) const = 0;
  // The pixels of an image, channel after channel: in memory that the source owns, or in `room`, which it may fill.
  virtual const uint8_t* planes(int64_t item, std::vector<uint8_t>& room) const = 0;
};

class ImageDataset : public Dataset {
 public:
  int64_t samples(Split split) const override { return split == Split::training ? training_ : held_out_; }
  int64_t features() const override { return image_.numbers(); }
  ImageShape image() const override { return image_; }
  int64_t sample_length() const override { return 1; }
  Objective objective() const override { return Objective::classification; }
  int64_t predicted(Split, std::span<const int64_t> numbers) const override {
    return static_cast<int64_t>(numbers.size());
  }
  Batch batch(Split split, std::span<const int64_t> numbers, BatchParts parts) const override;
  // Class frequencies of the training images with add-one smoothing, as for text.
  double unigram_baseline(int64_t count) const override;
  std::string describe(const Batch& batch, int64_t row) const override;

 protected:
  ImageDataset(const DatasetSettings& settings, const ImageShape& image, const Augmentation::Normal& normal);
  // From open(): the images, and those held out. Without the second a keyed shuffle holds out data.held_out of the
  // first; without the first everything is held out.
  void set_sources(std::shared_ptr<const ImageSource> training, std::shared_ptr<const ImageSource> held_out);

  const Section& data() const { return data_; }

 private:
  struct Found {
    const ImageSource& source;
    int64_t item;
    uint64_t epoch;
  };
  Found find(Split split, int64_t number) const;
  int64_t label(Split split, int64_t number) const;

  Section data_;
  ImageShape image_;
  uint64_t seed_;
  double share_;
  Augmentation augmentation_;
  std::shared_ptr<const ImageSource> source_, validation_;
  int64_t training_ = 0, held_out_ = 0;
};

// A folder of [data] as the user wrote it; a relative one that is not there is looked for below INTERLOCK_DATA.
std::string data_folder(const std::string& path);

}  // namespace interlock
