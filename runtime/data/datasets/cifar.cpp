// Dataset `cifar`: a folder with the binary form of CIFAR-10 (data_batch_1.bin ... data_batch_5.bin, test_batch.bin) or
// of CIFAR-100 (train.bin, test.bin).
#include <algorithm>
#include <filesystem>

#include "runtime/core/nearest_name.h"
#include "runtime/core/readable_file.h"
#include "runtime/data/images/cifar_file.h"
#include "runtime/data/images/image_dataset.h"

namespace interlock {
namespace {

namespace fs = std::filesystem;

// Of the training images of CIFAR-10, as the interlocking paper's code has them.
const Augmentation::Normal published{{0.4914, 0.4822, 0.4465}, {0.2460, 0.2411, 0.2576}};

class CifarSource final : public ImageSource {
 public:
  CifarSource(const std::vector<std::string>& paths, const CifarKind& kind) {
    for (const std::string& path : paths) {
      files_.push_back(std::make_unique<const CifarFile>(path, kind));
      ends_.push_back(count() + files_.back()->count());
    }
  }
  int64_t count() const override { return ends_.empty() ? 0 : ends_.back(); }
  int64_t label(int64_t item) const override {
    const auto [file, record] = place(item);
    return file.label(record);
  }
  const uint8_t* planes(int64_t item, std::vector<uint8_t>&) const override {
    const auto [file, record] = place(item);
    return file.planes(record);
  }

 private:
  std::pair<const CifarFile&, int64_t> place(int64_t item) const {
    const auto file = static_cast<size_t>(std::ranges::upper_bound(ends_, item) - ends_.begin());
    return {*files_[file], item - (file == 0 ? 0 : ends_[file - 1])};
  }

  std::vector<std::unique_ptr<const CifarFile>> files_;
  std::vector<int64_t> ends_;  // of each file, among all records
};

class CifarDataset final : public ImageDataset {
 public:
  explicit CifarDataset(const DatasetSettings& settings)
      : ImageDataset(settings, {3, 32, 32}, published), trains_(settings.training) {
    path_ = data().text("path", "");
    classes_ = data().integer("classes", 10);
    if (classes_ != 10 && classes_ != 20 && classes_ != 100)
      data().refuse("classes", message("is ", classes_,
                                       "; write 10 for CIFAR-10, 100 for CIFAR-100, or 20 for its coarse classes"));
    // A model that is evaluated by itself meets the test images, whatever its training held out.
    holds_out_test_ = data().one_of("validation", "test", {"test", "training"}) == "test" || !trains_;
  }

  void open() override {
    if (path_.empty()) data().refuse("path", "is needed: the folder with the binary form of CIFAR");
    const fs::path folder = data_folder(path_);
    std::error_code absent;
    if (fs::is_regular_file(folder, absent))
      data().refuse("path",
                    message("names a file, ", folder.string(), "; the folder that holds CIFAR's files is meant"));
    const auto source = [&](const std::vector<std::string>& names) {
      std::vector<std::string> paths;
      for (const std::string& name : names) paths.push_back((folder / name).string());
      return std::make_shared<const CifarSource>(paths, kind());
    };
    const bool ten = classes_ == 10;
    std::shared_ptr<const ImageSource> training, test;
    if (trains_ || !holds_out_test_)
      training = source(ten ? training_files(folder) : std::vector<std::string>{"train.bin"});
    if (holds_out_test_) test = source({ten ? "test_batch.bin" : "test.bin"});
    set_sources(training, test);
  }

  int64_t classes() const override { return classes_; }
  std::vector<std::string> notes() const override {
    if (absent_.empty()) return {};
    return {message(path_, ": trains on a part of CIFAR-10; absent: ", join(absent_))};
  }
  std::vector<std::string> evaluation_keys() const override { return {"path"}; }

 private:
  CifarKind kind() const {
    if (classes_ == 10) return {};
    return {.labels = 2, .label = classes_ == 20 ? 0 : 1, .classes = classes_};
  }

  // Those of the five that are there: a part of them is a smaller set.
  std::vector<std::string> training_files(const fs::path& folder) {
    std::vector<std::string> names;
    absent_.clear();
    for (int number = 1; number <= 5; ++number) {
      const std::string name = message("data_batch_", number, ".bin");
      (is_named((folder / name).string()) ? names : absent_).push_back(name);
    }
    if (names.empty()) names.emplace_back("data_batch_1.bin");  // whose absence is told
    return names;
  }

  std::string path_;
  std::vector<std::string> absent_;  // of the five
  int64_t classes_ = 10;
  bool trains_, holds_out_test_ = true;
};

const Registration<Dataset, const DatasetSettings&> registered("cifar", [](const DatasetSettings& settings) {
  return std::make_unique<CifarDataset>(settings);
});

}  // namespace
}  // namespace interlock
