#include "runtime/data/images/image_dataset.h"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <limits>

#include "runtime/core/random.h"
#include "runtime/data/sample_order.h"

namespace interlock {

ImageDataset::ImageDataset(const DatasetSettings& settings, const ImageShape& image, const Augmentation::Normal& normal)
    : data_(settings.data),
      image_(image),
      seed_(settings.seed),
      share_(read_held_out(settings.data)),
      augmentation_(settings.data, image, normal, settings.seed) {
  read_objective(settings.objective, {Objective::classification});
}

void ImageDataset::set_sources(std::shared_ptr<const ImageSource> training,
                               std::shared_ptr<const ImageSource> held_out) {
  source_ = std::move(training);
  validation_ = std::move(held_out);
  const int64_t count = source_ ? source_->count() : 0;
  held_out_ = validation_ ? validation_->count() : held_out_count(share_, count);
  training_ = validation_ ? count : count - held_out_;
}

// Each split has a shuffle of its own.
ImageDataset::Found ImageDataset::find(Split split, int64_t number) const {
  const bool training = split == Split::training;
  const SamplePlace place = shuffled(seed_, split, number, samples(split));
  if (validation_) return {training ? *source_ : *validation_, place.sample, place.epoch};
  const RandomKey which = random_key(seed_, Purpose::sample_order, 0, 0, 2);
  const auto at = static_cast<uint64_t>(place.sample + (training ? 0 : training_));
  return {*source_, static_cast<int64_t>(permuted(which, at, static_cast<uint64_t>(training_ + held_out_))),
          place.epoch};
}

int64_t ImageDataset::label(Split split, int64_t number) const {
  const Found found = find(split, number);
  return found.source.label(found.item);
}

Batch ImageDataset::batch(Split split, std::span<const int64_t> numbers, BatchParts parts) const {
  const auto rows = static_cast<int64_t>(numbers.size());
  Batch batch;
  batch.sample_ids.assign(numbers.begin(), numbers.end());
  batch.predicted = rows;
  if (parts.inputs) {
    batch.inputs = at::empty({rows, features()}, at::kFloat);
    float* row = batch.inputs.mutable_data_ptr<float>();
    std::vector<uint8_t> room;
    for (const int64_t number : numbers) {
      const Found found = find(split, number);
      const uint8_t* planes = found.source.planes(found.item, room);
      if (split == Split::training) {
        augmentation_.train(planes, found.epoch, static_cast<uint64_t>(found.item), row);
      } else {
        augmentation_.plain(planes, row);
      }
      row += features();
    }
  }
  if (parts.targets) {
    batch.targets = at::empty({rows}, at::kLong);
    std::ranges::transform(numbers, batch.targets.mutable_data_ptr<int64_t>(),
                           [&](int64_t number) { return label(split, number); });
  }
  return batch;
}

double ImageDataset::unigram_baseline(int64_t count) const {
  count = std::min(count, held_out_);
  if (count <= 0) return std::numeric_limits<double>::quiet_NaN();
  std::vector<int64_t> frequencies(static_cast<size_t>(classes()), 1);
  for (int64_t number = 0; number < training_; ++number)
    ++frequencies[static_cast<size_t>(label(Split::training, number))];
  double loss = 0;
  for (int64_t number = 0; number < count; ++number)
    loss += std::log(static_cast<double>(training_ + classes()) /
                     static_cast<double>(frequencies[static_cast<size_t>(label(Split::held_out, number))]));
  return loss / static_cast<double>(count);
}

std::string ImageDataset::describe(const Batch& batch, int64_t row) const {
  assert(row >= 0 && row < batch.inputs.size(0));
  const auto of_class = static_cast<size_t>(batch.targets.const_data_ptr<int64_t>()[row]);
  const std::vector<std::string> names = labels();
  const float* first = batch.inputs.const_data_ptr<float>() + row * features();
  const auto [darkest, brightest] = std::minmax_element(first, first + features());
  return message("image of ", image_.width, " x ", image_.height, " x ", image_.channels, ", ", *darkest, " to ",
                 *brightest, ", class ", of_class, names.empty() ? "" : " (" + names.at(of_class) + ")");
}

std::string data_folder(const std::string& path) {
  namespace fs = std::filesystem;
  std::error_code absent;
  const char* root = std::getenv("INTERLOCK_DATA");
  if (path.empty() || root == nullptr || fs::path(path).is_absolute() || fs::exists(path, absent)) return path;
  return (fs::path(root) / path).string();
}

}  // namespace interlock
